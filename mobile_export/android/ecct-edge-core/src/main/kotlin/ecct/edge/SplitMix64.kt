package ecct.edge

/**
 * The generator SplitMix64: the same seed gives the same numbers on every platform and version.
 *
 * Neither `kotlin.random.Random`, whose algorithm may change, nor `java.util.SplittableRandom`,
 * which old Android versions lack, promises that.
 */
internal class SplitMix64(seed: Long) {
    private var state = seed

    /** 64 random bits. */
    fun next(): Long {
        state += GOLDEN
        var bits = state
        bits = (bits xor (bits ushr 30)) * -0x40a7b892e31b1a47L
        bits = (bits xor (bits ushr 27)) * -0x6b2fb644ecceee15L
        return bits xor (bits ushr 31)
    }

    /** A whole number in `0 until bound`, each as likely as the others. */
    fun below(bound: Int): Int {
        require(bound > 0) { "expected a positive bound, got $bound" }
        // 63 bits, the incomplete last block rejected.
        val limit = Long.MAX_VALUE - Long.MAX_VALUE % bound
        while (true) {
            val drawn = next() ushr 1
            if (drawn < limit) return (drawn % bound).toInt()
        }
    }

    private companion object {
        const val GOLDEN = -0x61c8864680b583ebL
    }
}
