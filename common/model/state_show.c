/*
 * state_show.c - see state_show.h.
 */
#include "common/model/state_show.h"
#include "common/base/text.h"
#include <string.h>

static void print_part(FILE *f, const char *name, const struct net *net)
{
    fprintf(f, "%-10s %zu to %zu: %llu parameters, %.4f GMAC\n", name, net->tensor[0].c,
            net_outputs(net), (unsigned long long)net_parameters(net), (double)net_macs(net) / 1e9);
}

/* A setting, what it means, and where its value is from: a source only vouches for its own. */
static void print_setting(FILE *f, const struct settings *set, const struct settings *preset,
                          const struct setting *row)
{
    char value[64], usual[64];
    settings_print(set, row, value, sizeof value);
    settings_print(preset, row, usual, sizeof usual);
    fprintf(f, "  %-18s %-10s %s ", row->name, value, row->help);
    if (strcmp(value, usual) == 0)
        fprintf(f, "[%s]\n", row->evidence);
    else
        fprintf(f, "[preset imagenet: %s, %s]\n", usual, row->evidence);
}

void state_show(const struct state *s, FILE *f)
{
    char value[64];
    struct settings preset;
    settings_print(&s->set, settings_table, value, sizeof value);
    fprintf(f, "encoder    %s%s, width %g: %zu features, %llu parameters, %.4f GMAC at %d px",
            value, s->set.sk ? " with selective kernels" : "", s->set.width, net_outputs(&s->large),
            (unsigned long long)net_parameters(&s->large), (double)net_macs(&s->large) / 1e9,
            s->set.large_side);
    if (s->set.small_crops > 0)
        fprintf(f, ", %.4f at %d px", (double)net_macs(&s->small) / 1e9, s->set.small_side);
    putc('\n', f);
    print_part(f, "projector", &s->projector);
    print_part(f, "predictor", &s->predictor);
    fprintf(f, "step       %lld", (long long)s->step);
    if (s->total_steps > 0)
        fprintf(f, " of %lld, %s of data", (long long)s->total_steps,
                TEXT_COUNT((uint64_t)s->data_rows, "row", "rows"));
    fprintf(f, "\nqueue      %lld of %zu labelled embeddings a large crop\n",
            (long long)s->queue_fill, s->capacity);
    fprintf(f, "classes    %zu", s->classes.n);
    for (size_t i = 0; i < MIN(s->classes.n, 20); i++) {
        putc(' ', f);
        rows_print_name(f, s->classes.name[i], rows_name_width(s->classes.name[i]));
    }
    fprintf(f, "%s\n\nsettings\n", s->classes.n > 20 ? " ..." : "");
    settings_preset(&preset, 0);
    for (const struct setting *row = settings_table; row->name; row++)
        print_setting(f, &s->set, &preset, row);
    fprintf(f, "\nhistory\n");
    for (size_t i = 0; i < s->history.n; i++)
        fprintf(f, "  %s\n", s->history.line[i]);
}

static void json_part(FILE *f, const char *name, const struct net *net)
{
    fprintf(f,
            "\"%s\": {\"inputs\": %zu, \"outputs\": %zu, \"parameters\": %llu, \"macs\": %llu}, ",
            name, net->tensor[0].c, net_outputs(net), (unsigned long long)net_parameters(net),
            (unsigned long long)net_macs(net));
}

int state_show_json(const struct state *s, FILE *f)
{
    char name[64];
    int rc = 0;
    settings_print(&s->set, settings_table, name, sizeof name);
    fprintf(f,
            "{\"v\": 1, \"encoder\": {\"name\": \"%s\", \"features\": %zu, \"parameters\": %llu, "
            "\"macs\": %llu",
            name, net_outputs(&s->large), (unsigned long long)net_parameters(&s->large),
            (unsigned long long)net_macs(&s->large));
    if (s->set.small_crops > 0)
        fprintf(f, ", \"macs_small\": %llu", (unsigned long long)net_macs(&s->small));
    fprintf(f, "}, ");
    json_part(f, "projector", &s->projector);
    json_part(f, "predictor", &s->predictor);
    fprintf(f,
            "\"step\": %lld, \"total_steps\": %lld, \"data_rows\": %lld, "
            "\"queue\": {\"capacity\": %zu, \"fill\": %lld}, \"settings\": ",
            (long long)s->step, (long long)s->total_steps, (long long)s->data_rows, s->capacity,
            (long long)s->queue_fill);
    settings_put(f, &s->set);
    fprintf(f, ", \"classes\": [");
    for (size_t i = 0; i < s->classes.n && rc == 0; i++)
        rc = json_put(f, i ? ", " : "", s->classes.name[i]);
    fprintf(f, "], \"history\": ");
    history_put(f, &s->history);
    fprintf(f, "}\n");
    return rc;
}
