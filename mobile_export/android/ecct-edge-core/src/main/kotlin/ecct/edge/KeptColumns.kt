package ecct.edge

/**
 * What came of each interaction, as the app gave it: codes of private columns, as
 * `mobile_export.device.moments` of Python keeps them.
 *
 * @property values that the column may have: code k stands for the k-th, 0 for any other and for none.
 */
internal data class KeptColumn(val name: String, val values: List<String>) {
    fun code(value: String?): Int = if (value == null) 0 else values.indexOf(value) + 1

    fun word(code: Int): String? = values.getOrNull(code - 1)
}

/** Codes of one interaction, a column each. */
internal typealias Codes = List<Int>

internal fun unknownContext(count: Int, columns: List<KeptColumn>): List<Codes> = List(count) { columns.map { 0 } }

/**
 * Codes of [count] interactions.
 *
 * @param context by column a value for each interaction, null where it is unknown; what is missing is unknown.
 * @throws InputException when there is no such column, or one has not a value for each.
 */
internal fun contextCodes(context: Map<String, List<String?>>?, count: Int, columns: List<KeptColumn>): List<Codes> {
    val given = context.orEmpty()
    val unknown = given.keys - columns.map { it.name }.toSet()
    if (unknown.isNotEmpty()) {
        throw InputException(
            "context: expected columns out of ${columns.map { it.name }}, got ${unknown.sorted()}; leave out what " +
                "the model does not read, or open one that does",
        )
    }
    for ((name, values) in given) {
        // The values are private, and errors end in logs.
        if (values.size != count) {
            throw InputException("context: $name: expected one for each of $count interactions, got ${values.size}")
        }
    }
    return List(count) { place -> columns.map { it.code(given[it.name]?.get(place)) } }
}

/** The words of [codes] by column; null where one is unknown. */
internal fun contextWords(codes: Codes, columns: List<KeptColumn>): Map<String, String?> =
    columns.indices.associate { columns[it].name to columns[it].word(codes[it]) }

/** [codes] of the columns [before] as those of the columns [after]; what these lack is unknown. */
internal fun translated(codes: Codes, before: List<KeptColumn>, after: List<KeptColumn>): Codes =
    after.map { column ->
        val place = before.indexOfFirst { it.name == column.name }
        if (place < 0) 0 else column.code(before[place].word(codes[place]))
    }

/** What becomes of the columns in another model; notes name columns and no value. */
internal fun columnNotes(before: List<KeptColumn>, after: List<KeptColumn>, model: String): List<String> {
    val known = after.associateBy { it.name }
    val former =
        before.mapNotNull { column ->
            val now = known[column.name]
            when {
                now == null -> "context: ${column.name} was dropped, $model does not read it"
                now.values.containsAll(column.values) -> null
                else -> "context: ${column.name} is unknown where it was one of the values that $model does not know"
            }
        }
    val names = before.map { it.name }.toSet()
    return former + after.filter { it.name !in names }.map {
        "context: ${it.name} is new, and unknown for what came before"
    }
}

/** Columns as values that [jsonText] writes. */
internal fun columnValues(columns: List<KeptColumn>): List<Any> = columns.map { listOf(it.name, it.values) }

/** Reads what [columnValues] gave. */
internal fun keptColumns(told: List<Any?>): List<KeptColumn> =
    told.map { each ->
        val (name, words) = FileMeaning.entries(each, 2)
        KeptColumn(FileMeaning.word(name), FileMeaning.listed(words).map(FileMeaning::word))
    }.also { columns ->
        if (columns.distinctBy { it.name }.size != columns.size) {
            throw JsonException("context: expected each column once, got ${columns.map { it.name }}")
        }
    }

/** Refuses [rows] unless each has a code of each of [columns]. */
internal fun checkCodes(rows: List<Codes>, columns: List<KeptColumn>) {
    val sound = rows.all { row -> row.size == columns.size && row.indices.all { row[it] in 0..columns[it].values.size } }
    if (!sound) throw JsonException("context: expected codes of the columns ${columns.map { it.name }}")
}
