package ecct.edge

/**
 * What became of a device that another model file took over.
 *
 * @property moved different items of the history whose row is another.
 * @property unknown interactions that the file does not know any more; they wait by their tokens.
 * @property returned interactions that waited and that the file knows.
 * @property notes whatever else is not as before, in words.
 */
public data class Migration(
    public val moved: Int,
    public val unknown: Int,
    public val returned: Int,
    public val notes: List<String>,
)

/** In the place of a row: of an item that the file does not know. */
private const val WAITS = -1

/**
 * Takes a state over to [model], as `adopt` of the Python device does; `docs/migration.md` has the
 * table of what is kept and what is refused.
 *
 * @param fresh `[S] float32`, what [model] begins with; empty where it does not train.
 * @param given the profile anew, or null for that of the state.
 * @param previous the model of the state, for a state that does not tell what its rows mean.
 */
internal class Adoption(
    private val state: DeviceState,
    private val model: ModelFile,
    private val fresh: FloatArray,
    private val given: Map<String, String>?,
    private val anew: Boolean,
    previous: ModelFile?,
) {
    private val who = "device of user ${state.user}"
    private val old = told(previous)
    private val notes = ArrayList<String>()
    private val columns = model.metadata.outcomes.columns

    /** The state for the model, and what became of the old one. */
    fun run(): Pair<DeviceState, Migration> {
        val profile = MovedProfile(state, old, model, who)
        val (row, texts) = profile.moved(given, notes)
        val weights = MovedWeights(state, old, model, profile)
        val (values, start) = weights.moved(fresh, anew, notes)
        val (moved, told) = items()
        val downlink = state.downlink?.takeIf(::fits)
        if (downlink == null && state.downlink != null) {
            notes += "the last downlink was dropped: it is of another item table or form"
        }
        val adopted =
            moved.copy(
                model = model.sha256,
                layout = model.metadata.layout,
                profile = row,
                values = values,
                start = start,
                downlink = downlink,
                round = if (anew) 0 else state.round,
                labels = moved.labels?.copy(file = model.meaning, texts = texts),
            )
        return adopted.labelled(model) to told.copy(notes = notes)
    }

    private fun told(previous: ModelFile?): StateLabels {
        val own = if (state.model == model.sha256) model else previous?.takeIf { it.sha256 == state.model }
        own?.let { file -> state.labelled(file).labels?.let { return it } }
        return state.labels?.takeIf { it.file.vocabulary.isEmpty() || it.tokens.size == state.history.distinct().size }
            ?: throw StateFileException(
                "$who: its state does not tell what its rows mean, as those of earlier releases do not; expected " +
                    "the file with SHA-256 ${state.model} as `previous`, got ${previous?.sha256 ?: "none"}. Give " +
                    "that file, or begin the device anew",
            )
    }

    private fun items(): Pair<DeviceState, Migration> {
        val words = old.file.vocabulary.isNotEmpty()
        val rows = state.history.distinct().sorted()
        if (words != model.meaning.vocabulary.isNotEmpty() && (rows.isNotEmpty() || old.waiting.isNotEmpty())) {
            val names = listOf(words, !words).map { if (it) "tokens" else "row numbers" }
            throw StateFileException(
                "$who: its items are named by ${names[0]}, those of ${model.name} by ${names[1]}; begin it anew " +
                    "and give its history, or export the file with the same labels",
            )
        }
        val tokens = rows.zip(if (words) old.tokens else rows.map(Int::toString)).toMap()
        val now =
            if (extends()) {
                rows.associateWith { it }
            } else {
                rows.filter { it != 0 && tokens.getValue(it).isNotEmpty() }
                    .associateWith { model.itemRow(tokens.getValue(it)).takeIf { row -> row != 0 } ?: WAITS }
            }
        val nameless = rows.count { it != 0 && it !in now }
        if (nameless > 0) notes += "items became unknown for good, for the former file had no token: $nameless"
        notes += columnNotes(state.columns, columns, model.name)
        val moved = history(tokens, now)
        val unknown = state.history.count { now[it] == WAITS }
        val waiting = moved.labels?.waiting.orEmpty().size
        val changed = now.count { (row, new) -> new != row && new != WAITS }
        return moved to Migration(changed, unknown, old.waiting.size + unknown - waiting, emptyList())
    }

    private class Event(val row: Int, val token: String, val time: Long, val older: Boolean, val context: Codes)

    private fun Event.waiting(place: Int) = StateLabels.Waiting(token, place, time, context)

    private fun moved(codes: Codes): Codes = translated(codes, state.columns, columns)

    /** The interactions by other rows, in the order in which they were. */
    private fun history(tokens: Map<Int, String>, now: Map<Int, Int>): DeviceState {
        val events = ArrayList<Event>()
        val waiting = old.waiting.withIndex().groupBy { it.value.place }
        for (place in 0..state.history.size) {
            // What waits comes before the interaction at its place.
            waiting[place].orEmpty().forEach { (order, each) ->
                val row = model.itemRow(each.token).takeIf { it != 0 } ?: WAITS
                events += Event(row, each.token, each.time, order < old.waitingOlder, moved(each.context))
            }
            val row = state.history.getOrNull(place) ?: break
            val older = place < state.olderItems
            events += Event(now[row] ?: 0, tokens[row].orEmpty(), state.times[place], older, moved(state.context[place]))
        }
        val known = events.filter { it.row != WAITS }
        var place = 0
        val left = ArrayList<StateLabels.Waiting>()
        for (event in events) {
            if (event.row == WAITS) left += event.waiting(place) else place++
        }
        return state.copy(
            history = known.map { it.row }.toIntArray(),
            times = known.map { it.time }.toLongArray(),
            columns = columns,
            context = known.map { it.context },
            olderItems = known.count { it.older },
            labels =
                StateLabels(
                    model.meaning,
                    waiting = left,
                    waitingOlder = events.count { it.row == WAITS && it.older },
                ),
        )
    }

    /** Whether the file can read a downlink of another file. */
    private fun fits(downlink: Downlink): Boolean {
        val ofTable = if (downlink.tableSha256.isEmpty()) extends() else downlink.fits(model)
        return ofTable && downlink.isOf(model.metadata.exchange)
    }

    /** Whether each row of the old file means the same in the new one. */
    private fun extends(): Boolean {
        val new = model.meaning
        if (old.file.vocabulary.isEmpty() || new.vocabulary.isEmpty()) {
            return old.file.vocabulary == new.vocabulary && old.file.rows <= new.rows
        }
        return old.file.rows <= new.rows && model.fingerprintOf(old.file.rows) == old.file.vocabulary
    }
}

/** A profile that was given for one file, for another. */
internal class MovedProfile(
    private val state: DeviceState,
    private val old: StateLabels,
    private val model: ModelFile,
    private val who: String,
) {
    /** The row for the model, and the values as texts; [notes] gets what is to be told. */
    fun moved(given: Map<String, String>?, notes: MutableList<String>): Pair<IntArray, List<String>> {
        if (given != null) return model.profileRows(given) to model.profileTexts(given)
        val before = old.file.columns.withIndex().associate { (index, column) -> column.name to index }.toMutableMap()
        val found =
            model.meaning.columns.map { column ->
                val index = before.remove(column.name)
                if (index == null) {
                    notes += "profile: ${column.name} is new, unknown until the app gives the profile"
                    0 to ""
                } else {
                    val (code, text) = value(index, column)
                    if (state.profile[index] != 0 && code == 0) {
                        notes += "profile: ${column.name}: ${model.name} does not know '$text'; it counts as unknown " +
                            "until a file knows it"
                    }
                    code to text
                }
            }
        before.keys.forEach { notes += "profile: $it was dropped, ${model.name} does not read it" }
        return found.map { it.first }.toIntArray() to found.map { it.second }
    }

    /**
     * The code of an old column's value in the model; null where the state cannot tell: a number of
     * which only the code is known cannot be read by another rule, nor a value as one of another kind.
     */
    fun newCode(index: Int): Int? {
        val was = old.file.columns[index]
        val text = old.texts[index]
        val column = model.meaning.columns.first { it.name == was.name }
        return when {
            column.kind != was.kind -> null
            column.kind == FileMeaning.ROWS -> (text.toIntOrNull() ?: 0).takeIf { it < column.rows } ?: 0
            text.isEmpty() -> if (column.kind == FileMeaning.NUMBER) null else 0
            else -> model.profileCode(column.name, text)
        }
    }

    private fun value(index: Int, column: FileMeaning.Column): Pair<Int, String> {
        val was = old.file.columns[index]
        val code = state.profile[index]
        val text = old.texts[index]
        if (column == was || (code == 0 && text.isEmpty())) return code to text
        val told =
            if (was.kind == FileMeaning.NUMBER && column.kind == was.kind) "by another rule" else "as another kind"
        val found =
            newCode(index) ?: throw StateFileException(
                "$who: profile: ${model.name} reads the column '${column.name}' $told, and the state has its code " +
                    "alone, which would be another value there; give the profile again: open(…, profile = " +
                    "mapOf(…), adopt = true), in Python adopt(…, profile={…})",
            )
        return found to text
    }
}

/** Weights that a device trained with one file, for another. */
internal class MovedWeights(
    private val state: DeviceState,
    private val old: StateLabels,
    private val model: ModelFile,
    private val profile: MovedProfile,
) {
    /** Values and starting weights for the model; the optimiser begins anew. */
    fun moved(fresh: FloatArray, anew: Boolean, notes: MutableList<String>): Pair<FloatArray, FloatArray> {
        val nothing = FloatArray(0)
        if (anew) {
            notes += "weights and optimiser begin with those of the file, rounds with 0"
            return fresh to nothing
        }
        if (state.values.isEmpty()) return fresh to nothing
        val who = "device of user ${state.user}"
        if (fresh.isEmpty()) {
            throw StateFileException(
                "$who: ${model.name} does not train, what the device learned would not count; take a file that " +
                    "trains, or, $ANEW",
            )
        }
        differs()?.let {
            throw StateFileException("$who: its weights are not laid out as those of ${model.name}: $it; $ANEW")
        }
        if (old.file.reads != model.meaning.reads) {
            notes += "decays, history length or clock differ: the weights stay, though they were trained on the " +
                "former inputs"
        }
        val values = fresh.copyOf()
        carried(state.values, fresh).copyInto(values)
        return values to if (state.start.isEmpty()) nothing else carried(state.start, fresh)
    }

    /** Why weights of one mean something else in the other, or null. */
    private fun differs(): String? {
        val here = old.file
        val there = model.meaning
        val columns = listOf(here, there).map { file -> file.columns.map { it.name to (it.kind == FileMeaning.NUMBER) } }
        val names = columns.map { each -> each.joinToString { it.first }.ifEmpty { "none" } }
        return when {
            here.tier != there.tier -> "tier ${here.tier}, there ${there.tier}"
            here.adapters != there.adapters -> "adapters ${here.adapters}, there ${there.adapters}"
            here.blocks != there.blocks -> "blocks of the item table ${listed(here)}, there ${listed(there)}"
            columns[0] != columns[1] -> "private columns ${names[0]}, there ${names[1]}"
            else -> differentTensor(here, there)
        }
    }

    private fun differentTensor(here: FileMeaning, there: FileMeaning): String? {
        for ((own, wanted) in here.weights.zip(there.weights)) {
            val table = own.first == wanted.first && column(own.first) != null && own.second.drop(1) == wanted.second.drop(1)
            if (own != wanted && !table) return "${own.first} ${own.second}, there ${wanted.first} ${wanted.second}"
        }
        val sizes = listOf(here, there).map { it.weights.size }
        return if (sizes[0] == sizes[1]) null else "${sizes[0]} tensors, there ${sizes[1]}"
    }

    private fun listed(file: FileMeaning) = file.blocks.joinToString { (name, width) -> "$name $width" }

    /** Which private column a table belongs to, or null for a tensor that is none. */
    private fun column(name: String): Int? =
        if (name.startsWith(TABLE)) name.removePrefix(TABLE).toIntOrNull() else null

    /** The weights for the model: rows of profile values by their words, all else as it is. */
    private fun carried(weights: FloatArray, begun: FloatArray): FloatArray {
        val found = begun.copyOf(model.meaning.size)
        var here = 0
        var there = 0
        for ((own, wanted) in old.file.weights.zip(model.meaning.weights)) {
            val size = own.second.fold(1, Int::times)
            val index = column(own.first)
            if (index != null && old.file.columns[index] != model.meaning.columns[index]) {
                val width = own.second.last()
                for ((before, now) in pairs(index)) {
                    val start = here + before * width
                    // A value that the file does not know leaves the row of unknown values as it is.
                    if (before < own.second[0] && (now != 0 || before == 0)) {
                        weights.copyInto(found, there + now * width, start, start + width)
                    }
                }
            } else {
                weights.copyInto(found, there, here, here + size)
            }
            here += size
            there += wanted.second.fold(1, Int::times)
        }
        return found
    }

    private fun pairs(index: Int): List<Pair<Int, Int>> {
        val was = old.file.columns[index]
        val column = model.meaning.columns[index]
        val code = state.profile[index]
        return when {
            was.kind == FileMeaning.ROWS && column.kind == was.kind ->
                (0 until minOf(was.rows, column.rows)).map { it to it }
            code != 0 -> listOf(0 to 0, code to (profile.newCode(index) ?: 0))
            else -> listOf(0 to 0)
        }
    }

    private companion object {
        const val TABLE = "profile_"
        const val ANEW =
            "to keep history and profile and begin with the weights of that file, adopt it with weightsAnew = true, " +
                "in Python weights=\"anew\""
    }
}
