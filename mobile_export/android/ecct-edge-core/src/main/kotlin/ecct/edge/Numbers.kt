package ecct.edge

import kotlin.math.abs
import kotlin.math.expm1
import kotlin.math.floor
import kotlin.math.ln1p
import kotlin.math.withSign

/**
 * How a private number becomes the whole number that a model reads, as Python's
 * `ecct_tf.data.numbers` says: `(x - mean) / scale`, or of `sign(x) * ln(1 + |x|)`, clipped and cut
 * into steps.
 *
 * @property logarithm whether the logarithm is scaled.
 * @property mean what becomes 0.
 * @property scale what becomes 1 above the mean.
 * @property largest where scaled numbers are clipped, on both sides.
 * @property steps from one whole value to the next.
 */
public class NumberRule internal constructor(
    public val logarithm: Boolean,
    public val mean: Double,
    public val scale: Double,
    public val largest: Double,
    public val steps: Int,
) {
    /**
     * The code of [number], from 1; 0, unknown, for null and for NaN.
     *
     * @throws InputException when it is infinite.
     */
    public fun code(number: Double?): Int {
        if (number == null || number.isNaN()) return 0
        if (number.isInfinite()) {
            throw InputException("profile: expected a finite number, or null where it is unknown, got $number")
        }
        val read = if (logarithm) ln1p(abs(number)).withSign(number) else number
        val value = ((read - mean) / scale).coerceIn(-largest, largest)
        return 1 + floor((value + largest) * steps + 0.5).toInt()
    }

    /** The number that [code] stands for, up to a step and within the range; null for 0. */
    public fun number(code: Int): Double? {
        if (code < 1) return null
        val read = ((code - 1).toDouble() / steps - largest) * scale + mean
        return if (logarithm) expm1(abs(read)).withSign(read) else read
    }
}
