package ecct.edge

/**
 * What a state tells of itself to the file that comes after its own: rows and weights alone say
 * nothing where vocabularies are sorted anew. Python (`mobile_export.device.labels`) writes the
 * same bytes.
 *
 * @property tokens of the different rows of the history, by row; empty where the file has no tokens.
 * @property texts for each private column the value as the app gave it; empty where it is unknown.
 * @property waiting interactions with items that the file does not know, oldest first.
 * @property waitingOlder how many of them, the first, the cloud knows too.
 */
internal data class StateLabels(
    val file: FileMeaning,
    val tokens: List<String> = emptyList(),
    val texts: List<String> = emptyList(),
    val waiting: List<Waiting> = emptyList(),
    val waitingOlder: Int = 0,
) {
    /** [place]: how many interactions of the history came before it; [context]: codes of the columns that the file keeps. */
    data class Waiting(val token: String, val place: Int, val time: Long, val context: Codes = emptyList())

    /** As values that [jsonText] writes; [told] gives what the context of an interaction is written as. */
    fun values(told: (Codes) -> Any = { codes -> codes.map(Int::toDouble) }): Map<String, Any?> =
        mapOf(
            "file" to file.values(),
            "tokens" to tokens,
            "texts" to texts,
            "waiting" to
                waiting.map {
                    val context = if (it.context.isEmpty()) emptyList() else listOf(told(it.context))
                    listOf(it.token, it.place.toDouble(), it.time.toDouble()) + context
                },
            "waiting_older" to waitingOlder.toDouble(),
        )

    fun encode(): ByteArray = jsonText(values()).toByteArray(Charsets.UTF_8)

    companion object {
        /** Reads what [encode] gave for a state of [history] interactions, [profile] private columns and the kept [columns]. */
        fun decode(content: ByteArray, history: Int, profile: Int, columns: List<KeptColumn>): StateLabels {
            val told = JsonObject.parse(utf8(content), "labels")
            val found =
                StateLabels(
                    file = FileMeaning.of(told.child("file")),
                    tokens = told.list("tokens").map(FileMeaning::word),
                    texts = told.list("texts").map(FileMeaning::word),
                    waiting =
                        told.list("waiting").map {
                            val (token, place, time, codes) =
                                FileMeaning.entries(it, if (columns.isEmpty()) 3 else 4) + listOf(emptyList<Any>())
                            val seconds =
                                (time as? Double)?.takeIf { it % 1.0 == 0.0 && it in 0.0..LATEST_SECOND.toDouble() }?.toLong()
                                    ?: throw JsonException("expected a time, got ${plain(time)}")
                            val context = FileMeaning.listed(codes).map(FileMeaning::count)
                            Waiting(FileMeaning.word(token), FileMeaning.count(place), seconds, context)
                        },
                    waitingOlder = told.count("waiting_older"),
                )
            val sound =
                found.texts.size == profile && found.file.columns.size == profile && found.file.context == columns &&
                    found.waitingOlder <= found.waiting.size &&
                    found.waiting.all { it.place <= history && it.time >= 0 }
            checkCodes(found.waiting.map { it.context }, columns)
            if (!sound) throw JsonException("labels: expected those of $history interactions and $profile private columns")
            return found
        }
    }
}

/** The state, which belongs to [model], with labels of all that it holds. */
internal fun DeviceState.labelled(model: ModelFile): DeviceState {
    val known = labels ?: StateLabels(model.meaning, texts = model.rowTexts(profile))
    val tokens =
        if (model.meaning.vocabulary.isEmpty()) {
            emptyList()
        } else {
            history.distinct().sorted().map { model.itemToken(it).orEmpty() }
        }
    return copy(labels = known.copy(file = model.meaning, tokens = tokens))
}
