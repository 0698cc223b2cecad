package ecct.edge

import java.nio.ByteBuffer
import java.nio.ByteOrder

/**
 * What decides whether weights and rows of one file mean the same in another, as
 * `mobile_export.contract.meaning` of Python says it; both compute the same fingerprints.
 *
 * @property weights name and shape of each trained tensor.
 * @property blocks name and width of the item table's blocks.
 * @property reads fingerprint of how a history becomes inputs: decays, newest items, clock.
 * @property vocabulary fingerprint of the item tokens; empty where a token is the row's number.
 * @property rows of the item table, row 0 included.
 * @property context columns of interactions whose values devices keep.
 */
internal data class FileMeaning(
    val tier: String,
    val adapters: Boolean,
    val weights: List<Pair<String, List<Int>>>,
    val blocks: List<Pair<String, Int>>,
    val reads: String,
    val vocabulary: String,
    val rows: Int,
    val columns: List<Column>,
    val context: List<KeptColumn> = emptyList(),
) {
    /**
     * A private column.
     *
     * @property kind [WORDS] where the file tells its values, [ROWS] where the app knows them, or [NUMBER].
     * @property about fingerprint of the words or of the number's rule; empty for [ROWS].
     * @property rows how many codes it has, 0 for unknown among them.
     */
    data class Column(val name: String, val kind: String, val about: String, val rows: Int)

    /** P, how many weights there are. */
    val size: Int get() = weights.sumOf { (_, shape) -> shape.fold(1, Int::times) }

    /** As values that [jsonText] writes. */
    fun values(): Map<String, Any?> =
        mapOf(
            "tier" to tier,
            "adapters" to adapters,
            "weights" to weights.map { (name, shape) -> listOf(name, shape.map(Int::toDouble)) },
            "blocks" to blocks.map { (name, width) -> listOf(name, width.toDouble()) },
            "reads" to reads,
            "vocabulary" to vocabulary,
            "rows" to rows.toDouble(),
            "columns" to columns.map { listOf(it.name, it.kind, it.about, it.rows.toDouble()) },
            // Of a file that keeps none nothing is said, as by earlier releases.
        ) + if (context.isEmpty()) emptyMap() else mapOf("context" to columnValues(context))

    companion object {
        const val WORDS = "words"
        const val ROWS = "rows"
        const val NUMBER = "number"
        private const val DIGITS = 16
        private val LISTS = listOf("decays", "clock_hours", "clock_pauses")
        private val VALUES = listOf("last_items", "clock", "clock_calendar", "history_length")

        /** Reads what [values] gave. */
        fun of(told: JsonObject): FileMeaning =
            FileMeaning(
                tier = told.text("tier"),
                adapters = told.flag("adapters"),
                weights = told.list("weights").map { pair(it) { shape -> listed(shape).map(::count) } },
                blocks = told.list("blocks").map { pair(it, ::count) },
                reads = told.text("reads"),
                vocabulary = told.text("vocabulary"),
                rows = told.count("rows"),
                columns =
                    told.list("columns").map {
                        val (name, kind, about, rows) = entries(it, 4)
                        Column(word(name), word(kind), word(about), count(rows))
                    },
                context = if (told.has("context")) keptColumns(told.list("context")) else emptyList(),
            )

        /** What the [metadata] and the vocabularies of a file say. */
        fun of(metadata: EdgeMetadata, items: Vocabulary?, profile: List<Vocabulary?>): FileMeaning {
            val root = metadata.root
            val table = root.child("items")
            return FileMeaning(
                tier = root.text("tier"),
                adapters = root.child("variant").flag("adapters"),
                weights = root.child("weights").list("layout").map { pair(it) { shape -> (shape as List<*>).map(::count) } },
                blocks = if (table.has("blocks")) table.list("blocks").map { pair(it, ::count) } else emptyList(),
                reads = reads(if (root.has("features")) root.child("features") else null),
                vocabulary = items?.let { fingerprint(it.values) } ?: "",
                rows = table.count("rows"),
                columns = root.children("profile").mapIndexed { index, from -> column(from, profile[index]) },
                context = metadata.outcomes.columns,
            )
        }

        /** Of words in their order; of those of a longer list, its beginning's. */
        fun fingerprint(words: List<String>): String = digest(words.joinToString("") { "$it\n" }.toByteArray())

        private fun column(from: JsonObject, words: Vocabulary?): Column {
            val name = from.text("name")
            val rows = from.count("rows")
            if (from.has("number")) {
                val rule = from.child("number")
                val parts = listOf(if (rule.flag("log")) 1.0 else 0.0) +
                    listOf("mean", "scale", "largest", "steps").map(rule::number)
                return Column(name, NUMBER, fingerprintOf(listOf(parts)), rows)
            }
            return if (words == null) Column(name, ROWS, "", rows) else Column(name, WORDS, fingerprint(words.values), rows)
        }

        private fun reads(features: JsonObject?): String {
            val lists = LISTS.map { name ->
                if (features?.has(name) == true) features.list(name).map { it as? Double ?: 0.0 } else emptyList()
            }
            val single =
                VALUES.map {
                    when (val value = features?.value(it)) {
                        true -> 1.0
                        is Double -> value
                        else -> 0.0
                    }
                }
            return fingerprintOf(lists + listOf(single))
        }

        /** Of lists of numbers as little-endian doubles, each after its length. */
        private fun fingerprintOf(lists: List<List<Double>>): String {
            val bytes = ByteBuffer.allocate(Double.SIZE_BYTES * lists.sumOf { it.size + 1 }).order(ByteOrder.LITTLE_ENDIAN)
            for (list in lists) {
                bytes.putDouble(list.size.toDouble())
                list.forEach { bytes.putDouble(it) }
            }
            return digest(bytes.array())
        }

        private fun digest(content: ByteArray) = sha256(content).toHex().take(DIGITS)

        private fun <T> pair(from: Any?, second: (Any?) -> T): Pair<String, T> {
            val (name, value) = entries(from, 2)
            return word(name) to second(value)
        }

        fun entries(from: Any?, count: Int): List<Any?> =
            (from as? List<*>)?.takeIf { it.size == count } ?: throw JsonException("expected $count entries, got $from")

        fun listed(from: Any?): List<Any?> = from as? List<*> ?: throw JsonException("expected a list, got $from")

        fun word(from: Any?): String = from as? String ?: throw JsonException("expected a string, got ${plain(from)}")

        fun count(from: Any?): Int =
            (from as? Double)?.takeIf { it % 1.0 == 0.0 && it in 0.0..Int.MAX_VALUE.toDouble() }?.toInt()
                ?: throw JsonException("expected a whole number that is not negative, got ${plain(from)}")
    }
}
