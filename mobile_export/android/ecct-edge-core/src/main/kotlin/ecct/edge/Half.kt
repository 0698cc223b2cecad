package ecct.edge

/**
 * The value of a float16, from its [bits] in the low half.
 *
 * Neither Java 17 nor every Android version that this library runs on has it.
 */
public fun halfToFloat(bits: Int): Float {
    val sign = if (bits and 0x8000 != 0) -1f else 1f
    val exponent = bits shr 10 and 0x1F
    val fraction = bits and 0x3FF
    return when (exponent) {
        // Subnormal: the fraction counts steps of 2^-24, which float32 holds exactly.
        0 -> sign * fraction * Float.fromBits(0x33800000)
        0x1F -> if (fraction == 0) sign * Float.POSITIVE_INFINITY else Float.NaN
        else -> sign * Float.fromBits(exponent + 112 shl 23 or (fraction shl 13))
    }
}

/**
 * The bits of the float16 that is next to [value], in the low half; of two the even one.
 *
 * A codec of one's own needs it for scales: neither Java 17 nor every Android version has it.
 */
public fun floatToHalf(value: Float): Int {
    val bits = value.toRawBits()
    val sign = bits ushr 16 and 0x8000
    val size = bits and 0x7FFFFFFF
    return sign or
        when {
            size > 0x7F800000 -> 0x7E00
            // 65,520, which lies half way to the next that there would be.
            size >= 0x477FF000 -> 0x7C00
            size >= 0x38800000 -> size - 0x38000000 + 0xFFF + (size ushr 13 and 1) ushr 13
            // Subnormal: steps of 2^-24.
            else -> Math.rint(Float.fromBits(size) * (1 shl 24).toDouble()).toInt()
        }
}
