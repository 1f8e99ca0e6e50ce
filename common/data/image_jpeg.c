/*
 * image_jpeg.c - JPEG in and out through libjpeg-turbo.
 *
 * libjpeg leaves by longjmp, so everything that must survive one lives in a struct. Its warnings
 * are of two kinds: oddities that lose nothing (bytes between segments, an unknown JFIF revision),
 * which are noted, and damage, after which the rest of the pixels are a guess; without keep the
 * first damage ends the decoding, which also makes short work of bombs whose data soon runs out.
 */
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/image_codec.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* in this order, and after stdio.h */
#include <jpeglib.h>

#include <jerror.h>

enum {
    SCANS_MOST = 500, /* libjpeg-turbo's own fuzzers stop there; encoders write a dozen or two */
    SCANS_LEAST = 32,
};
#define SCAN_PIXELS ((size_t)1 << 33) /* scans x pixels: bounds the time spent on a bomb */

#define STRING(token) #token
#define VALUE(macro) STRING(macro)

const char *image_jpeg_library(void)
{
#ifdef LIBJPEG_TURBO_VERSION
    return "libjpeg-turbo " VALUE(LIBJPEG_TURBO_VERSION);
#else
    return "libjpeg " VALUE(JPEG_LIB_VERSION);
#endif
}

struct jpeg_in {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr err;
    struct jpeg_progress_mgr progress;
    jmp_buf out;
    const uint8_t *bytes;
    size_t n;
    struct image *im;
    const struct image_box *box; /* NULL: all */
    uint8_t *row;                /* of a CMYK picture */
    bool keep, damaged, ended, big;
    bool exif; /* seen, or too late */
    int max_scans, orientation, rc;
    char first[JMSG_LENGTH_MAX]; /* first warning */
};

/* How far libjpeg has read; its made-up end-of-image marker lies outside our bytes. */
static size_t position(const struct jpeg_in *in)
{
    const uint8_t *p = in->jpeg.src != NULL ? in->jpeg.src->next_input_byte : NULL;
    return p >= in->bytes && p <= in->bytes + in->n ? (size_t)(p - in->bytes) : in->n;
}

static void on_error(j_common_ptr c)
{
    struct jpeg_in *in = c->client_data;
    char text[JMSG_LENGTH_MAX];
    c->err->format_message(c, text);
    if (c->err->msg_code == JERR_OUT_OF_MEMORY)
        in->rc = fail(-ENOMEM, "no memory to decode a JPEG");
    else if (in->ended)
        in->rc = fail(-EIO, "data ends in the header (%s)", text);
    else
        in->rc = fail(-EINVAL, "%s, near byte %zu", text, position(in));
    longjmp(in->out, 1);
}

static void on_message(j_common_ptr c, int level)
{
    struct jpeg_in *in = c->client_data;
    if (level >= 0)
        return; /* a trace */
    if (in->first[0] == '\0')
        c->err->format_message(c, in->first);
    switch (c->err->msg_code) {
    case JWRN_JPEG_EOF:
        in->ended = true; /* lost pixels, or just the end marker: finish() knows */
        return;
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_BOGUS_PROGRESSION:
        break;
    default:
        return;
    }
    in->damaged = true;
    if (!in->keep) {
        char text[JMSG_LENGTH_MAX];
        c->err->format_message(c, text);
        in->rc = in->ended
                     ? fail(-EIO, "data ends early, after %s", TEXT_COUNT(in->n, "byte", "bytes"))
                     : fail(-EIO, "%s, near byte %zu", text, position(in));
        longjmp(in->out, 1);
    }
}

static void on_progress(j_common_ptr c)
{
    struct jpeg_in *in = c->client_data;
    if (in->jpeg.input_scan_number <= in->max_scans)
        return;
    in->rc = fail(-EFBIG, "more than %d scans for %u x %u pixels", in->max_scans,
                  in->jpeg.image_width, in->jpeg.image_height);
    longjmp(in->out, 1);
}

/*
 * Looks into an APP1 segment and skips it. The whole file is in memory, so the segment is too, if
 * it is all there. (jpeg_save_markers() would do, but takes time quadratic in their number.)
 */
static boolean on_app1(j_decompress_ptr jpeg)
{
    static const uint8_t exif[6] = "Exif\0"; /* and a second 0 */
    struct jpeg_in *in = jpeg->client_data;
    const uint8_t *p = jpeg->src->next_input_byte;
    size_t left = jpeg->src->bytes_in_buffer, length = 2;
    if (left >= 2)
        length = MAX((size_t)(p[0] << 8 | p[1]), (size_t)2); /* counts itself */
    if (!in->exif && length <= left && length > 8 && memcmp(p + 2, exif, sizeof exif) == 0) {
        in->orientation = image_exif_orientation(p + 8, length - 8);
        in->exif = true;
    }
    jpeg->src->skip_input_data(jpeg, (long)length);
    return TRUE;
}

/* Size and colours are known: is it one for us, and how is it to come out? */
static int begin(struct jpeg_in *in)
{
    struct jpeg_decompress_struct *jpeg = &in->jpeg;
    size_t h = jpeg->image_height, w = jpeg->image_width;
    int rc;
    if (jpeg->data_precision != 8)
        return fail(-EINVAL, "%d bits a sample, not 8", jpeg->data_precision);
    switch (jpeg->jpeg_color_space) {
    case JCS_GRAYSCALE:
    case JCS_RGB:
    case JCS_YCbCr:
        jpeg->out_color_space = JCS_RGB;
        break;
    case JCS_CMYK:
    case JCS_YCCK:
        jpeg->out_color_space = JCS_CMYK;
        break;
    default:
        return fail(-EINVAL, "%d colour components", jpeg->num_components);
    }
    if (h <= IMAGE_MAX_PIXELS / w) /* else image_alloc() refuses */
        in->big = image_big_begin(h, w);
    if ((rc = image_alloc(in->im, h, w, 3)) < 0)
        return rc;
    if (jpeg->out_color_space == JCS_CMYK && (in->row = mem_alloc(w, 4, "a row")) == NULL)
        return -ENOMEM;
    in->max_scans = (int)MIN(MAX(SCAN_PIXELS / (h * w), (size_t)SCANS_LEAST), (size_t)SCANS_MOST);
    jpeg->dct_method = JDCT_ISLOW; /* named, not left to a build's defaults */
    jpeg->do_fancy_upsampling = TRUE;
    jpeg->do_block_smoothing = TRUE;
    return 0;
}

/* Inks as Adobe stores them, 255 being no ink; files without Adobe's mark are read alike, as djpeg
 * and Pillow do. */
static void rgb_from_cmyk(uint8_t *rgb, const uint8_t *cmyk, size_t w)
{
    for (size_t x = 0; x < w; x++, rgb += 3, cmyk += 4)
        for (int c = 0; c < 3; c++)
            rgb[c] = (uint8_t)((2u * cmyk[c] * cmyk[3] + 255) / 510); /* c k / 255, rounded */
}

/*
 * Makes libjpeg leave out what lies left, right and above of the box, except for a block around it,
 * whose colours the upsampling may want; *left is the first column that will be written. Returns
 * the row to stop at. What is not one Huffman scan is decoded whole (libjpeg reads all of its
 * coefficients anyway), and what is to be turned.
 */
static size_t skip(struct jpeg_in *in, size_t *left)
{
    struct jpeg_decompress_struct *jpeg = &in->jpeg;
    const struct image_box *box = in->box;
    *left = 0;
    if (box == NULL || box->top + box->height > in->im->h || box->left + box->width > in->im->w ||
        in->orientation != 1 || jpeg_has_multiple_scans(jpeg) || jpeg->arith_code)
        return jpeg->output_height;
    size_t across = (size_t)jpeg->max_h_samp_factor * DCTSIZE;
    size_t right = MIN(box->left + box->width + across, in->im->w);
    JDIMENSION x = (JDIMENSION)(box->left - MIN(box->left, across));
    JDIMENSION width = (JDIMENSION)right - x;
    jpeg_crop_scanline(jpeg, &x, &width);
    jpeg_skip_scanlines(jpeg, (JDIMENSION)box->top);
    *left = x;
    return box->top + box->height;
}

static int decode(struct jpeg_in *in)
{
    struct jpeg_decompress_struct *jpeg = &in->jpeg;
    size_t left, end;
    int rc;
    if (setjmp(in->out))
        return in->rc;
    jpeg_create_decompress(jpeg);
    jpeg->mem->max_memory_to_use = INT32_MAX; /* of coefficients: 2^28 pixels' worth */
    jpeg->progress = &in->progress;
    jpeg_mem_src(jpeg, in->bytes, in->n);
    jpeg_set_marker_processor(jpeg, JPEG_APP0 + 1, on_app1);
    jpeg_read_header(jpeg, TRUE);
    in->exif = true; /* one that hides behind the pixels turns nothing */
    if ((rc = begin(in)) < 0)
        return rc;
    jpeg_start_decompress(jpeg);
    end = skip(in, &left);
    while (jpeg->output_scanline < end) {
        uint8_t *to = in->im->rgb + (jpeg->output_scanline * in->im->w + left) * 3;
        JSAMPROW row = in->row != NULL ? in->row : to;
        jpeg_read_scanlines(jpeg, &row, 1);
        if (in->row != NULL)
            rgb_from_cmyk(to, in->row, jpeg->output_width);
    }
    if (end < jpeg->output_height)
        return 0; /* nobody asked for the rest */
    /* A single Huffman scan that had all its bits has lost nothing but its end marker. Of several
     * scans some may be missing, and the arithmetic decoder invents bits without a word. */
    bool several = jpeg_has_multiple_scans(jpeg);
    jpeg_finish_decompress(jpeg);
    if (in->ended && !in->damaged && (several || jpeg->arith_code)) {
        in->damaged = true;
        if (!in->keep)
            return fail(-EIO, "data ends early, after %s", TEXT_COUNT(in->n, "byte", "bytes"));
    }
    return 0;
}

int image_decode_jpeg(struct image *im, struct image_info *info, const uint8_t *bytes, size_t n,
                      bool keep, const struct image_box *box)
{
    struct jpeg_in in = {
        .bytes = bytes, .n = n, .im = im, .box = box, .keep = keep, .orientation = 1
    };
    in.jpeg.err = jpeg_std_error(&in.err);
    in.err.error_exit = on_error;
    in.err.emit_message = on_message;
    in.progress.progress_monitor = on_progress;
    in.jpeg.client_data = &in;
    int rc = decode(&in);
    jpeg_destroy_decompress(&in.jpeg);
    free(in.row);
    info->big = in.big;
    info->orientation = in.orientation;
    info->truncated = in.damaged;
    snprintf(info->warning, sizeof info->warning, "%.*s", (int)sizeof info->warning - 1, in.first);
    return rc;
}

/* -- out ---- */

struct jpeg_out {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr err;
    jmp_buf out;
    uint8_t *bytes;
    unsigned long n;
    int rc;
};

static void on_encode_error(j_common_ptr c)
{
    struct jpeg_out *out = c->client_data;
    char text[JMSG_LENGTH_MAX];
    c->err->format_message(c, text);
    out->rc = fail(c->err->msg_code == JERR_OUT_OF_MEMORY ? -ENOMEM : -EINVAL,
                   "cannot be written as JPEG: %s", text);
    longjmp(out->out, 1);
}

static int encode(struct jpeg_out *out, const struct image *im, int quality)
{
    struct jpeg_compress_struct *jpeg = &out->jpeg;
    if (setjmp(out->out))
        return out->rc;
    jpeg_create_compress(jpeg);
    jpeg_mem_dest(jpeg, &out->bytes, &out->n);
    jpeg->image_width = (JDIMENSION)im->w;
    jpeg->image_height = (JDIMENSION)im->h;
    jpeg->input_components = 3;
    jpeg->in_color_space = JCS_RGB;
    jpeg_set_defaults(jpeg);
    jpeg_set_quality(jpeg, quality, TRUE);
    jpeg->dct_method = JDCT_ISLOW;
    jpeg->comp_info[0].h_samp_factor = jpeg->comp_info[0].v_samp_factor = 1; /* 4:4:4 */
    jpeg_start_compress(jpeg, TRUE);
    while (jpeg->next_scanline < jpeg->image_height) {
        JSAMPROW row = im->rgb + (size_t)jpeg->next_scanline * im->w * 3;
        jpeg_write_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_compress(jpeg);
    return 0;
}

int image_encode_jpeg(const struct image *im, int quality, uint8_t **bytes, size_t *n)
{
    struct jpeg_out out = { 0 };
    if (im->h > JPEG_MAX_DIMENSION || im->w > JPEG_MAX_DIMENSION)
        return fail(-EINVAL, "%zu x %zu pixels do not fit a JPEG", im->w, im->h);
    out.jpeg.err = jpeg_std_error(&out.err);
    out.err.error_exit = on_encode_error;
    out.jpeg.client_data = &out;
    int rc = encode(&out, im, quality);
    jpeg_destroy_compress(&out.jpeg);
    *bytes = out.bytes;
    *n = out.n;
    if (rc < 0) {
        free(out.bytes);
        *bytes = NULL;
    }
    return rc;
}
