/*
 * test_score.c - counting what is right, and telling it.
 */
#include "common/base/fail.h"
#include "common/model/score.h"
#include "tests/t.h"
#include "tests/unit/files.h"

static char *names[] = { (char *)"ant", (char *)"bee", (char *)"c\"d", (char *)"elk" };
static const uint64_t labelled[] = { 4, 3, 2, 0 };

/* What print() writes, as a string of the caller's. */
static char *text_of(const struct score *s, bool json)
{
    struct history h = { 0 };
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    files_must(f && history_add(&h, "{\"program\": \"test\"}") == 0, "memory");
    if (json)
        score_json(s, f, &h);
    else
        score_table(s, f);
    fclose(f);
    history_release(&h);
    return text;
}

static void test_counts(void)
{
    struct classes classes = { names, 4, 4 };
    struct score s;
    int32_t abc[] = { 0, 1, 2 }, b[] = { 1 }, cab[] = { 2, 0, 1 };
    ok(score_open(&s, &classes, labelled) == 0, "a score opens");
    score_add(&s, 0, abc, 3); /* right at once */
    score_add(&s, 0, abc, 3);
    score_add(&s, 0, b, 1);   /* wrong, and not among the first five */
    score_add(&s, 1, cab, 3); /* third */
    score_add(&s, 2, cab, 3);
    score_add(&s, -1, abc, 3);
    ok(s.rows == 5 && s.skipped == 1, "five rows count, one without truth does not");
    near(score_top1(&s), 3.0 / 5, 1e-12, "three are right");
    near(score_top5(&s), 4.0 / 5, 1e-12, "four among the first five");
    near(score_mean(&s), (2.0 / 3 + 0 + 1) / 3, 1e-12,
         "the mean is over the classes that have rows");
    ok(s.confusion[0] == 2 && s.confusion[1] == 1 && s.confusion[4 + 2] == 1 &&
           s.confusion[8 + 2] == 1 && s.confusion[4 + 1] == 0,
       "the confusion matrix: rows are true classes");

    s.title = "how";
    s.details = "\"method\": \"test\"";
    char *t = text_of(&s, false);
    ok(strstr(t, "how\n") == t && strstr(t, "top-1       0.6000\n") &&
           strstr(t, "ant              4        3        2   0.6667  bee (1)\n") &&
           strstr(t, "elk              0        0        0        -\n"),
       "the table says so");
    free(t);
    t = text_of(&s, true);
    ok(strstr(t, "{\"v\": 1, \"method\": \"test\", \"rows\": 5, \"skipped\": 1, "
                 "\"top1\": 0.600000, \"top5\": 0.800000,") == t &&
           strstr(t, "\"class\": \"c\\\"d\"") && strstr(t, "\"accuracy\": null}]") &&
           strstr(t, "[[2, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]") &&
           strstr(t, "\"history\": [{\"program\": \"test\"}]}\n") && strchr(t, '\n')[1] == 0,
       "and so does the record, on one line");
    free(t);

    struct history h = { 0 };
    ok(score_report(&s, "report", NULL, &h) == 0 && access("report/eval.json", R_OK) == 0 &&
           access("report/confusion.png", R_OK) == 0,
       "a report without a log has two files");
    files_write("file", "", 0);
    ok(score_report(&s, "file", NULL, &h) < 0 && strstr(fail_text(), "file"),
       "a file is no folder: %s", fail_text());
    score_close(&s);
}

int main(void)
{
    files_enter();
    test_counts();
    return done();
}
