/* SPDX-License-Identifier: Apache-2.0 */
/* cinder-options.h - options and sections of a cinder.conf that Drover does not need.
 *
 * Names only, so that an operator's file is read without a warning and a misspelt option
 * still gets one. They are those of Cinder 21 and of the oslo libraries it uses, with
 * some older and newer ones.
 */
#ifndef COMMON_CINDER_OPTIONS_H
#define COMMON_CINDER_OPTIONS_H

#include <stddef.h>

#include "common/conf.h"

extern const struct option cinder_default_options[];
extern const size_t cinder_default_options_count;
extern const struct option cinder_backend_options[];
extern const size_t cinder_backend_options_count;
extern const struct option cinder_database_options[];
extern const size_t cinder_database_options_count;
extern const struct option cinder_rabbit_options[];
extern const size_t cinder_rabbit_options_count;
extern const struct option cinder_nova_options[];
extern const size_t cinder_nova_options_count;
extern const char *const cinder_sections[];
extern const size_t cinder_sections_count;

#endif
