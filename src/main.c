/* SPDX-License-Identifier: Apache-2.0 */
/* The table of subcommands, nothing else. */
#include "base/str.h"
#include "cmd/cmd.h"

struct command {
    const char *name;
    int (*run)(int argc, char **argv); /* NULL: announced, not there yet */
    const char *help;
};

static int help(int argc, char **argv);
static int version(int argc, char **argv);

static const struct command commands[] = {
    {"serve", rs_cmd_serve, "serve [CONFIG.yml]         run the registry (without a file: ./data, 127.0.0.1:5000)"},
    {"config", rs_cmd_config, "config check [CONFIG.yml]  say what is wrong with a configuration, and print it"},
    {"check", rs_cmd_check, "check [OPTIONS] [CONFIG]   look at all that is stored; --repair mends it"},
    {"retention", rs_cmd_retention,
     "retention [CONFIG.yml]     remove tags by the rules of the configuration; -d lists what would go"},
    {"garbage-collect", rs_cmd_garbage_collect,
     "garbage-collect [FLAGS] CONFIG.yml  remove what no manifest needs (-d: only say what)"},
    {"version", version, "version                    print the version"},
    {"help", help, "help                       print this"},
    {"mirror", NULL, NULL},
    {"scan", NULL, NULL},
    {"deploy", NULL, NULL},
};

static int help(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("Usage: roadstead COMMAND [ARGUMENTS]\n\nCommands:\n");
    for (size_t i = 0; i < RS_COUNT(commands); i++)
        if (commands[i].help != NULL)
            printf("  %s\n", commands[i].help);
    printf("\nA first argument that ends in .yml or .yaml means \"serve\" with that file.\n");
    return RS_EXIT_OK;
}

static int version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("roadstead %s\n", RS_VERSION);
    return RS_EXIT_OK;
}

static int run(const struct command *command, int argc, char **argv)
{
    if (command->run != NULL)
        return command->run(argc, argv);
    fprintf(stderr, "roadstead: the command \"%s\" is planned, but not there yet in version %s\n", command->name,
            RS_VERSION);
    return RS_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    rs_str name = rs_str_c(argc > 1 ? argv[1] : "help");

    if (rs_str_ends(name, RS_STR(".yml")) || rs_str_ends(name, RS_STR(".yaml")))
        return rs_cmd_serve(argc, argv); /* as registry:2's entry point */
    if (rs_str_eq(name, RS_STR("--version")) || rs_str_eq(name, RS_STR("-v")))
        name = RS_STR("version");
    if (rs_str_eq(name, RS_STR("--help")) || rs_str_eq(name, RS_STR("-h")))
        name = RS_STR("help");
    for (size_t i = 0; i < RS_COUNT(commands); i++)
        if (rs_str_eq_c(name, commands[i].name))
            return run(&commands[i], argc - 1, argv + 1);
    fprintf(stderr, "roadstead: there is no command \"" RS_STR_FMT "\"; \"roadstead help\" lists them\n",
            RS_STR_ARG(name));
    return RS_EXIT_USAGE;
}
