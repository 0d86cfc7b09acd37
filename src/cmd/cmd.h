/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands. argv[0] is not looked at, the arguments follow; the result is the program's exit status. */
#pragma once

enum rs_exit {
    RS_EXIT_OK = 0,
    RS_EXIT_FAILED = 1, /* it could not start, or was stopped while transfers ran */
    RS_EXIT_USAGE = 2,  /* the command line or the configuration is wrong */
};

int rs_cmd_serve(int argc, char **argv);
int rs_cmd_config(int argc, char **argv);
int rs_cmd_check(int argc, char **argv);
int rs_cmd_retention(int argc, char **argv);
int rs_cmd_garbage_collect(int argc, char **argv);
