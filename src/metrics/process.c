/* SPDX-License-Identifier: Apache-2.0 */
/* What every program tells of itself, under the names that Prometheus' libraries use. What the system does not tell is
 * left out. */
#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/io.h"
#include "base/sink.h"
#include "metrics/metrics_priv.h"

#define STAT_MAX 4096
/* Fields of /proc/self/stat, counted from the one behind the program's name (proc(5) counts from 1 and has two more).
 */
enum { FIELD_START = 19, FIELD_VIRTUAL, FIELD_RESIDENT, FIELDS };

static void set_cpu(void)
{
    struct rusage used;
    if (getrusage(RUSAGE_SELF, &used) != 0)
        return;
    int64_t us = (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * INT64_C(1000000) + used.ru_utime.tv_usec +
                 used.ru_stime.tv_usec;
    rs_metrics_set(RS_METRIC_PROCESS_CPU, RS_NO_LABELS, (uint64_t)us);
}

/* The kernel counts from the boot; the clock of the wall may be put right later, and the start moves with it. */
static void set_start(uint64_t ticks)
{
    struct timespec wall, boot;
    long hertz = sysconf(_SC_CLK_TCK);
    if (hertz <= 0 || clock_gettime(CLOCK_REALTIME, &wall) != 0 || clock_gettime(CLOCK_BOOTTIME, &boot) != 0)
        return;
    int64_t booted = (wall.tv_sec - boot.tv_sec) * INT64_C(1000000) + (wall.tv_nsec - boot.tv_nsec) / 1000;
    int64_t start = booted + (int64_t)(ticks * 1000000 / (uint64_t)hertz);
    if (start > 0)
        rs_metrics_set(RS_METRIC_PROCESS_START, RS_NO_LABELS, (uint64_t)start);
}

/* The name of the program stands in brackets, and may hold brackets and blanks. */
static void set_stat(void)
{
    struct rs_buf text;
    size_t bracket;
    uint64_t fields[FIELDS] = {0};
    rs_str word;
    rs_buf_init(&text, STAT_MAX);
    if (rs_read_file("/proc/self/stat", &text, NULL) == RS_OK && rs_str_rfind(rs_buf_str(&text), ')', &bracket)) {
        rs_str rest = rs_str_from(rs_buf_str(&text), bracket + 2);
        for (size_t i = 0; i < FIELDS; i++) {
            rs_str_cut(rest, ' ', &word, &rest);
            rs_str_u64(word, UINT64_MAX, &fields[i]);
        }
        set_start(fields[FIELD_START]);
        rs_metrics_set(RS_METRIC_PROCESS_VIRTUAL, RS_NO_LABELS, fields[FIELD_VIRTUAL]);
        rs_metrics_set(RS_METRIC_PROCESS_RESIDENT, RS_NO_LABELS,
                       fields[FIELD_RESIDENT] * (uint64_t)sysconf(_SC_PAGESIZE));
    }
    rs_buf_release(&text);
}

static void set_files(void)
{
    struct rlimit limit;
    uint64_t count = 0;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        rs_metrics_set(RS_METRIC_PROCESS_MAX_FDS, RS_NO_LABELS, limit.rlim_cur);
    DIR *directory = opendir("/proc/self/fd");
    if (directory == NULL)
        return;
    for (const struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory))
        count += entry->d_name[0] != '.';
    closedir(directory);
    rs_metrics_set(RS_METRIC_PROCESS_FDS, RS_NO_LABELS, count - 1); /* without the directory's own */
}

void metric_process(void)
{
    set_cpu();
    set_stat();
    set_files();
    rs_metrics_set(RS_METRIC_LOG_DROPPED, RS_LABELS(RS_VALUE_SINK_EVENTS), rs_sink_dropped(RS_SINK_LOG));
    rs_metrics_set(RS_METRIC_LOG_DROPPED, RS_LABELS(RS_VALUE_SINK_ACCESS), rs_sink_dropped(RS_SINK_ACCESS));
    rs_metrics_set(RS_METRIC_BUILD, RS_LABELS(rs_metrics_value(RS_LABEL_VERSION, RS_STR(RS_VERSION))), 1);
}
