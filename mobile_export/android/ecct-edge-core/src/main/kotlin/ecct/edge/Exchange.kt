package ecct.edge

/**
 * The declared form of the two payloads of a user, the only things that cross.
 *
 * @property cloudDim d_c, width of the user embedding in a downlink.
 * @property embeddingDim d_e, width of the edge embeddings in an uplink.
 * @property queries Q, items that the cloud asks about.
 * @property codec how embeddings and logits are written.
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
    /** In which the graph of a file takes and gives numbers: of an app's own codec as they are. */
    internal val graph: GraphCodec get() = codec as? GraphCodec ?: GraphCodec.Float32

    /** Bytes of one user's downlink. */
    public val downlinkBytes: Int get() = codec.checkedRowBytes(cloudDim) + Int.SIZE_BYTES * queries

    /** Bytes of one user's uplink. */
    public val uplinkBytes: Int
        get() =
            Int.SIZE_BYTES * (1 + queries) + queries * codec.checkedRowBytes(embeddingDim) +
                if (withLogits) codec.checkedRowBytes(queries) else 0
}
