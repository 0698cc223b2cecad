package ecct.edge

/** Element types of a file: what LiteRT takes from `FloatArray`, `IntArray` and `ByteArray`. */
public enum class TensorType { FLOAT32, INT32, INT8 }

/**
 * An input or output of a signature.
 *
 * @property shape extents; null where the caller decides: the rows of a dynamic file.
 */
public data class Port(
    public val name: String,
    public val type: TensorType,
    public val shape: List<Int?>,
) {
    override fun toString(): String = "$name: ${type.name.lowercase()} ${shape.map { it ?: "?" }}"
}

/** One entry point of a file. */
public data class Signature(
    public val name: String,
    public val inputs: List<Port>,
    public val outputs: List<Port>,
) {
    internal fun input(name: String): Port? = inputs.find { it.name == name }
}

/** Arrays for a port, filled with zeros; [rows] stands in for extents that the caller decides. */
internal fun Port.allocate(rows: Int): Any {
    val extents = shape.map { it ?: rows }
    return when (extents.size) {
        1 -> vector(extents[0])
        2 -> matrix(extents[0], extents[1])
        else -> throw ModelFileException("$this: expected one or two axes; export the file again")
    }
}

private fun Port.vector(length: Int): Any =
    when (type) {
        TensorType.FLOAT32 -> FloatArray(length)
        TensorType.INT32 -> IntArray(length)
        TensorType.INT8 -> ByteArray(length)
    }

private fun Port.matrix(rows: Int, columns: Int): Any =
    when (type) {
        TensorType.FLOAT32 -> Array(rows) { FloatArray(columns) }
        TensorType.INT32 -> Array(rows) { IntArray(columns) }
        TensorType.INT8 -> Array(rows) { ByteArray(columns) }
    }

/**
 * Refuses [value] unless it has the port's type and shape.
 *
 * A runtime may read out of bounds, or end the process, on a length that a static signature
 * does not have; it is never asked to.
 */
internal fun Port.check(signature: String, value: Any) {
    val (received, extents) = form(value)
    val fits =
        received == type && extents.size == shape.size && 0 !in extents &&
            extents.zip(shape).all { (extent, declared) -> declared == null || declared == extent }
    if (!fits) {
        throw InputException(
            "$signature: expected $this, got ${received?.name?.lowercase() ?: "another type"} " +
                "$extents; shapes are in the file's metadata, at least one row is needed",
        )
    }
}

private fun form(value: Any): Pair<TensorType?, List<Int>> =
    when (value) {
        is FloatArray -> TensorType.FLOAT32 to listOf(value.size)
        is IntArray -> TensorType.INT32 to listOf(value.size)
        is ByteArray -> TensorType.INT8 to listOf(value.size)
        is Array<*> -> {
            val rows = value.map { row -> row?.let(::form) }
            val widths = rows.map { it?.second }.distinct()
            rows.firstOrNull()?.first to
                if (widths.size == 1) listOf(value.size) + widths.single().orEmpty() else emptyList()
        }
        else -> null to emptyList()
    }
