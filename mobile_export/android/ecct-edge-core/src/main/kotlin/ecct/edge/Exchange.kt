package ecct.edge

/** How embeddings and logits are written in a payload. */
public enum class Codec(internal val valueBytes: Int) {
    FLOAT32(4),
    FLOAT16(2),

    /** One byte a value, and a float16 scale for each row. */
    INT8(1),
    ;

    /** Bytes of [rows] rows of [columns] values. */
    internal fun bytes(rows: Int, columns: Int): Int =
        rows * columns * valueBytes + if (this == INT8) 2 * rows else 0
}

/**
 * The declared form of the two payloads of a user, the only things that cross.
 *
 * @property cloudDim d_c, width of the user embedding in a downlink.
 * @property embeddingDim d_e, width of the edge embeddings in an uplink.
 * @property queries Q, items that the cloud asks about.
 * @property withLogits whether logits cross (stage 2).
 * @property noiseMultiplier of the noise that the device adds; 0 for none.
 */
public data class Exchange(
    public val cloudDim: Int,
    public val embeddingDim: Int,
    public val queries: Int,
    public val codec: Codec,
    public val withLogits: Boolean,
    public val noiseMultiplier: Double,
) {
    /** Bytes of one user's downlink. */
    public val downlinkBytes: Int get() = codec.bytes(1, cloudDim) + Int.SIZE_BYTES * queries

    /** Bytes of one user's uplink. */
    public val uplinkBytes: Int
        get() =
            Int.SIZE_BYTES * (1 + queries) + codec.bytes(queries, embeddingDim) +
                if (withLogits) codec.bytes(1, queries) else 0
}
