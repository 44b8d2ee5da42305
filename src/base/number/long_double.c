/* Long doubles for INCRBYFLOAT: read, added and printed by the C library, since
 * Rust has no such type. Values live in 16 aligned bytes that Rust only carries. */

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(long double) <= 16, "a long double must fit its 16 bytes");

static long double load(const unsigned char *bytes)
{
    long double value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static void store(unsigned char *bytes, long double value)
{
    memset(bytes, 0, 16);
    memcpy(bytes, &value, sizeof value);
}

/* Reads the whole of a NUL-terminated text of `length` bytes. Returns 1, or 0 if
 * it is no number, not a number, too large, or so small that it became zero. */
int ferrock_long_double_parse(const char *text, size_t length, unsigned char *out)
{
    char *end;
    errno = 0;
    long double value = strtold(text, &end);
    if ((size_t)(end - text) != length || isnan(value))
        return 0;
    if (errno == ERANGE && (isinf(value) || value == 0))
        return 0;
    store(out, value);
    return 1;
}

void ferrock_long_double_from_double(double value, unsigned char *out)
{
    store(out, (long double)value);
}

/* Adds two values. Returns 1, or 0 if the sum is infinite or not a number. */
int ferrock_long_double_add(const unsigned char *left, const unsigned char *right,
                            unsigned char *out)
{
    long double sum = load(left) + load(right);
    store(out, sum);
    return isfinite(sum) != 0;
}

/* The product, rounded up to a whole number. */
double ferrock_long_double_ceil_product(const unsigned char *value, double factor)
{
    return (double)ceill(load(value) * factor);
}

int ferrock_long_double_is_finite(const unsigned char *value)
{
    return isfinite(load(value)) != 0;
}

/* Prints 17 decimals into `capacity` bytes. Returns the length of the whole text. */
int ferrock_long_double_print(const unsigned char *value, char *out, size_t capacity)
{
    return snprintf(out, capacity, "%.17Lf", load(value));
}
