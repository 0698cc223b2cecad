package ecct.edge

/**
 * The value of a float16, from its [bits] in the low half.
 *
 * Neither Java 17 nor every Android version that this library runs on has it.
 */
internal fun halfToFloat(bits: Int): Float {
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
