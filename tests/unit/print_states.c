/* SPDX-License-Identifier: Apache-2.0 */
/* print_states: docs/states.md on standard output. To make it again:
 *	tests/unit/print_states >docs/states.md
 */
#include <stdio.h>

#include "common/phase.h"

int main(void)
{
	phase_print(stdout);
	return fflush(stdout) == 0 ? 0 : 1;
}
