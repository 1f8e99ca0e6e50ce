/*
 * double.h - included before everything else, makes every float of the project a double: with the
 * definitions of kernels/ref/ a whole step of training is then computed in double precision, and
 * its gradient can be compared with finite differences to many digits. Headers of the system come
 * first and keep their floats.
 */
#ifndef SEMPPL_DOUBLE_H
#define SEMPPL_DOUBLE_H

#include <float.h>
#include <hdf5.h>
#include <jpeglib.h>
#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

#define float double
#define fabsf fabs

#endif
