/*
 * test_jsonl.c - numbers out of JSON lines.
 */
#include "common/base/fail.h"
#include "common/data/jsonl.h"
#include "tests/t.h"
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/test_jsonl.XXXXXX";

static int read_text(struct jsonl *j, const char *text, size_t n)
{
    static const char *const keys[] = { "step", "loss" };
    FILE *f = fopen(path, "w");
    fwrite(text, 1, n, f);
    fclose(f);
    return jsonl_read(j, path, keys, 2);
}

static int refused(const char *text)
{
    struct jsonl j;
    int rc = read_text(&j, text, strlen(text));
    jsonl_release(&j);
    return rc;
}

int main(void)
{
    struct jsonl j;
    int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    close(fd);
    const char good[] = "{\"v\": 1, \"step\": 1, \"loss\": -2.5e-1, \"in\": {\"loss\": 7}}\n\n"
                        "{\"step\":2,\"a\":[1,[2],{}],\"s\":\"\\\"loss\\\": 3\",\"loss\":null}\r\n"
                        "{}";
    ok(read_text(&j, good, strlen(good)) == 0 && j.n == 3, "three records");
    near(j.value[0], 1, 0, "a number");
    near(j.value[3], -0.25, 0, "with sign and exponent; what lies deeper does not count");
    near(j.value[1], 2, 0, "the second record");
    ok(isnan(j.value[4]), "null is no number, nor is what stands in a string");
    ok(isnan(j.value[2]) && isnan(j.value[5]), "absent keys are no numbers");
    jsonl_release(&j);
    ok(refused("") == 0, "an empty file has no records");
    ok(refused("{\"step\": 1}\n{\"step\": 2, \"lo") == -EINVAL && strstr(fail_text(), "line 2"),
       "a cut-off line is refused with its number");
    ok(refused("{\"step\": 1} x\n") == -EINVAL, "so is what follows an object");
    ok(refused("[1]\n") == -EINVAL && refused("{\"a\" 1}\n") == -EINVAL &&
           refused("{\"a\": }\n") == -EINVAL && refused("{\"a\": \"\\") == -EINVAL &&
           refused("{\"a\": nul}") == -EINVAL && refused("{\"a\": [1, 2}") == -EINVAL,
       "and what is no JSON object");
    ok(refused("{\"a\": 01}") == -EINVAL && refused("{\"a\": 0x1}") == -EINVAL &&
           refused("{\"a\": -inf}") == -EINVAL && refused("{\"a\": 1.}") == -EINVAL &&
           refused("{\"a\": 1e}") == -EINVAL && refused("{\"a\": -}") == -EINVAL &&
           refused("{\"a\": 0.5E+3}") == 0,
       "numbers are those of JSON");
    ok(refused("{\"a\": \"\\x\"}") == -EINVAL && refused("{\"a\": \"\\u12g4\"}") == -EINVAL &&
           refused("{\"a\": \"\t\"}") == -EINVAL && refused("{\"a\": \"\\u12A4\\\\\\n\"}") == 0,
       "escapes too, and a control character must be one");
    ok(jsonl_object("{\"a\": [1, {\"b\": \"\\n\"}]} ") && !jsonl_object("{\"a\":\n1}") &&
           !jsonl_object("made by hand") && !jsonl_object("[]") && !jsonl_object(""),
       "one object on one line");
    ok(read_text(&j, "{\"step\": 1}\0{}\n", 15) == -EINVAL, "a NUL byte too");
    jsonl_release(&j);
    char deep[400];
    memset(deep, '[', sizeof deep);
    memcpy(deep, "{\"a\":", 5);
    deep[399] = 0;
    ok(refused(deep) == -EINVAL, "nesting has an end");
    unlink(path);
    ok(jsonl_read(&j, path, NULL, 0) == -ENOENT && strstr(fail_text(), path), "no file");
    return done();
}
