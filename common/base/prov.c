/*
 * prov.c - the line of history that this process adds to what it writes.
 */
#include "common/base/prov.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include <stdlib.h>
#include <string.h>

static const char *program = "semppl";
static char **command;
static int ncommand;

struct input {
    char *name;
    uint32_t checksum;
};
static struct input *inputs;
static size_t ninputs, inputs_room;

struct note {
    char *key, *value;
};
static struct note *notes;
static size_t nnotes, notes_room;

void prov_command(const char *name, int argc, char **argv)
{
    program = name;
    ncommand = argc;
    command = argv;
}

const char *prov_program(void)
{
    return program;
}

/* -- JSON ---- */

char *json_quote(const char *s, size_t n)
{
    size_t room;
    if (n > (SIZE_MAX - 3) / 6) {
        fail(-ENOMEM, "text of %zu bytes is too long", n);
        return NULL;
    }
    room = 6 * n + 3;
    char *out = mem_alloc(room, 1, "a text"), *p = out;
    if (!out)
        return NULL;
    *p++ = '"';
    while (n > 0) {
        struct text_char c = text_char(s, n);
        if (*s == '"' || *s == '\\') {
            *p++ = '\\';
            *p++ = *s;
        } else if (c.control || !c.utf8) {
            p += sprintf(p, "\\u%04x", c.code);
        } else {
            memcpy(p, s, c.length);
            p += c.length;
        }
        s += c.length;
        n -= c.length;
    }
    *p++ = '"';
    *p = '\0';
    return out;
}

int json_put(FILE *f, const char *before, const char *s)
{
    char *quoted = json_quote(s, strlen(s));
    if (!quoted)
        return -ENOMEM;
    fprintf(f, "%s%s", before, quoted);
    free(quoted);
    return 0;
}

/* -- Histories ---- */

int history_add(struct history *h, const char *line)
{
    for (size_t i = 0; i < h->n; i++)
        if (strcmp(h->line[i], line) == 0)
            return 0;
    if (mem_grow(&h->line, &h->room, h->n + 1, sizeof *h->line) < 0)
        return -ENOMEM;
    if (!(h->line[h->n] = mem_strdup(line)))
        return -ENOMEM;
    h->n++;
    return 0;
}

int history_merge(struct history *h, const struct history *from)
{
    int rc = 0;
    for (size_t i = 0; i < from->n && rc == 0; i++)
        rc = history_add(h, from->line[i]);
    return rc;
}

void history_put(FILE *f, const struct history *h)
{
    fputc('[', f);
    for (size_t i = 0; i < h->n; i++)
        fprintf(f, "%s%s", i ? ", " : "", h->line[i]); /* JSON already */
    fputc(']', f);
}

void history_release(struct history *h)
{
    for (size_t i = 0; i < h->n; i++)
        free(h->line[i]);
    free(h->line);
    *h = (struct history){ 0 };
}

/* -- This process ---- */

int prov_input(const char *name, uint32_t checksum)
{
    for (size_t i = 0; i < ninputs; i++)
        if (inputs[i].checksum == checksum && strcmp(inputs[i].name, name) == 0)
            return 0;
    if (mem_grow(&inputs, &inputs_room, ninputs + 1, sizeof *inputs) < 0)
        return -ENOMEM;
    char *copy = mem_strdup(name);
    if (!copy)
        return -ENOMEM;
    inputs[ninputs++] = (struct input){ copy, checksum };
    return 0;
}

int prov_note(const char *key, const char *value_json)
{
    char *value = mem_strdup(value_json);
    if (!value)
        return -ENOMEM;
    for (size_t i = 0; i < nnotes; i++)
        if (strcmp(notes[i].key, key) == 0) {
            free(notes[i].value);
            notes[i].value = value;
            return 0;
        }
    char *copy = mem_strdup(key);
    if (!copy || mem_grow(&notes, &notes_room, nnotes + 1, sizeof *notes) < 0) {
        free(copy);
        free(value);
        return -ENOMEM;
    }
    notes[nnotes++] = (struct note){ copy, value };
    return 0;
}

static int write_line(FILE *f)
{
    int rc = json_put(f, "{\"program\": ", program);
    fprintf(f, ", \"version\": \"%s\", \"command\": [", SEMPPL_VERSION);
    for (int i = 0; i < ncommand && rc == 0; i++)
        rc = json_put(f, i ? ", " : "", command[i]);
    fputs("], \"inputs\": [", f);
    for (size_t i = 0; i < ninputs && rc == 0; i++) {
        rc = json_put(f, i ? ", {\"name\": " : "{\"name\": ", inputs[i].name);
        fprintf(f, ", \"checksum\": \"%08x\"}", inputs[i].checksum);
    }
    fputc(']', f);
    for (size_t i = 0; i < nnotes && rc == 0; i++) {
        rc = json_put(f, ", ", notes[i].key);
        fprintf(f, ": %s", notes[i].value);
    }
    fputc('}', f);
    return rc;
}

int history_self(struct history *h)
{
    char *line = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&line, &len);
    if (!f)
        return fail(-ENOMEM, "no memory for the history");
    int rc = write_line(f);
    if (fclose(f) != 0)
        rc = fail(-ENOMEM, "no memory for the history");
    if (rc == 0)
        rc = history_add(h, line);
    free(line);
    return rc;
}
