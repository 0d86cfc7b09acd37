/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over every file of the directories (and the files) that it is given: the corpus as a test. */
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t replay_file(const char *path)
{
    struct rs_buf content;
    struct rs_err err;
    rs_buf_init(&content, 16 * 1024 * 1024);
    if (rs_read_file(path, &content, &err) != RS_OK) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    LLVMFuzzerTestOneInput((const uint8_t *)rs_buf_z(&content), content.len);
    rs_buf_release(&content);
    return 1;
}

static size_t replay_path(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        perror(path);
        exit(1);
    }
    if (!S_ISDIR(st.st_mode))
        return replay_file(path);
    size_t count = 0;
    DIR *dir = opendir(path);
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        char child[4096];
        snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
        count += replay_path(child);
    }
    if (dir != NULL)
        closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    size_t count = 0;
    for (int i = 1; i < argc; i++)
        count += replay_path(argv[i]);
    printf("replayed %zu inputs\n", count);
    return count == 0; /* an empty corpus proves nothing */
}
