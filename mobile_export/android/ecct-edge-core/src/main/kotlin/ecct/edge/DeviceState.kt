package ecct.edge

import java.nio.ByteBuffer
import java.nio.ByteOrder

/**
 * All that one device keeps between rounds. A value: whatever changes it makes a new one.
 *
 * The bytes are those of the Python device (`mobile_export.device.state`), which can read them.
 * Little-endian: `ECDS`, the format (uint16, 2), two bytes of 0, the length of the header
 * (uint32), the header (JSON), the arrays one after another, the SHA-256 of all before it.
 * Format 2 has the times of the interactions; a state in which none is known is one of format 1.
 * Format 3 has what came of the interactions, too, where the model's file reads that from columns of
 * theirs. Starting weights, where the device has others by now, this context and the labels are the last.
 *
 * @property model SHA-256 of the model file that [values] belong to, in hexadecimal.
 * @property layout SHA-256 of how such files lay out [values]; a newer file may share it.
 * @property user the id that the cloud knows the user by.
 * @property profile `[columns] int32`, rows of the private columns.
 * @property history `[n] int32`, rows of every item of the user, oldest first.
 * @property times `[n] int64`, seconds since 1970 when each of [history] was, 0 where it is unknown.
 * @property olderItems how many of them the cloud knows too; the others are trained on.
 * @property values `[S] float32`, weights, optimiser slots and step; empty for a file that
 *   does not train.
 * @property downlink the last one; null before the first.
 * @property round rounds of training done.
 * @property start `[P] float32`, the weights that the device started with; empty while those of
 *   [values] are, and where the file has no guard.
 * @property columns of interactions whose values the device keeps.
 * @property context `[n][C] int32`, the codes of these values for each of [history].
 * @property labels what its rows mean, for the next file; null in states of earlier releases.
 */
public class DeviceState internal constructor(
    public val model: String,
    public val layout: String,
    public val user: Int,
    internal val profile: IntArray,
    internal val history: IntArray,
    internal val times: LongArray,
    public val olderItems: Int,
    internal val values: FloatArray,
    public val downlink: Downlink?,
    public val round: Int,
    internal val start: FloatArray = FloatArray(0),
    internal val columns: List<KeptColumn> = emptyList(),
    internal val context: List<Codes> = unknownContext(history.size, columns),
    internal val labels: StateLabels? = null,
) {
    /** The number of items in the history. */
    public val historySize: Int get() = history.size

    internal fun copy(
        model: String = this.model,
        layout: String = this.layout,
        profile: IntArray = this.profile,
        history: IntArray = this.history,
        times: LongArray = if (history === this.history) this.times else LongArray(history.size),
        olderItems: Int = this.olderItems,
        values: FloatArray = this.values,
        downlink: Downlink? = this.downlink,
        round: Int = this.round,
        start: FloatArray = this.start,
        columns: List<KeptColumn> = this.columns,
        context: List<Codes> =
            if (history === this.history && columns == this.columns) this.context else unknownContext(history.size, columns),
        labels: StateLabels? = this.labels,
    ): DeviceState =
        DeviceState(
            model, layout, user, profile, history, times, olderItems, values, downlink, round, start, columns, context, labels,
        )

    /** What a device whose weights are about to change has as its start from then on. */
    internal fun startOnceChanged(metadata: EdgeMetadata): FloatArray =
        if (start.isEmpty() && metadata.guards) values.copyOf(metadata.weights) else start

    private val tellsTime: Boolean get() = times.any { it != UNKNOWN_TIME }

    /** Refuses the state unless it belongs to [model] and [user]; [name] is that of its file. */
    internal fun checkFits(model: ModelFile, user: Int, name: String) {
        if (this.model != model.sha256) {
            throw StateFileException(
                "$name: expected a state of ${model.name} (${model.sha256}), it belongs to the model " +
                    "${this.model}; open that one, or let this one adopt the state",
            )
        }
        if (this.user != user) {
            throw StateFileException(
                "$name: expected the state of user $user, got that of user ${this.user}; keep a file " +
                    "for each user",
            )
        }
        val expected = model.metadata.stateSize ?: 0
        val columns = model.metadata.profile.size
        if (values.size != expected || profile.size != columns || olderItems > history.size) {
            throw StateFileException(
                "$name: expected $expected values, $columns profile columns and at least $olderItems " +
                    "items, got ${values.size}, ${profile.size} and ${history.size}; delete it to begin anew",
            )
        }
        if (start.isNotEmpty() && start.size != model.metadata.weights) {
            throw StateFileException(
                "$name: expected ${model.metadata.weights} starting weights, as ${model.name} has, got " +
                    "${start.size}; delete it to begin anew",
            )
        }
        if (this.columns != model.metadata.outcomes.columns) {
            throw StateFileException(
                "$name: expected the columns ${model.metadata.contextColumns} of interactions, as ${model.name} " +
                    "reads, got ${this.columns.map { it.name }}; delete it to begin anew",
            )
        }
        downlink?.check(model)
    }

    /** The content of its file; equal states give equal bytes. */
    internal fun encode(): ByteArray {
        val embedding = downlink?.embedding ?: ByteArray(0)
        val queries = downlink?.queries ?: IntArray(0)
        val told = labels?.encode() ?: ByteArray(0)
        val codes = history.size * columns.size
        val header = header(told.size).toByteArray(Charsets.UTF_8)
        val numbers = profile.size + history.size + values.size + queries.size + start.size + codes
        val timed = if (tellsTime) Long.SIZE_BYTES * times.size else 0
        val body =
            ByteBuffer
                .allocate(PREFIX_BYTES + header.size + Int.SIZE_BYTES * numbers + timed + embedding.size + told.size)
                .order(ByteOrder.LITTLE_ENDIAN)
        val format = if (columns.isNotEmpty()) WITH_CONTEXT else if (tellsTime) WITH_TIMES else WITHOUT_TIMES
        body.put(MAGIC.toByteArray(Charsets.US_ASCII)).putShort(format.toShort()).putShort(0)
        body.putInt(header.size).put(header)
        profile.forEach { body.putInt(it) }
        history.forEach { body.putInt(it) }
        if (tellsTime) times.forEach { body.putLong(it) }
        values.forEach { body.putFloat(it) }
        body.put(embedding)
        queries.forEach { body.putInt(it) }
        start.forEach { body.putFloat(it) }
        context.forEach { row -> row.forEach { body.putInt(it) } }
        body.put(told)
        return sealed(format).seal(body.array())
    }

    private fun header(labelBytes: Int): String {
        val arrays =
            buildList {
                add(array("profile", INTEGERS, profile.size))
                add(array("history", INTEGERS, history.size))
                if (tellsTime) add(array("times", LONGS, times.size))
                add(array("values", FLOATS, values.size))
                downlink?.let {
                    val values = it.embedding.size / it.codec.valueBytes
                    add(array("user_embedding", EMBEDDINGS.getValue(it.codec), values))
                    add(array("queries", INTEGERS, it.queries.size))
                }
                if (start.isNotEmpty()) add(array("start", FLOATS, start.size))
                if (columns.isNotEmpty()) add(array("context", INTEGERS, history.size * columns.size))
                if (labels != null) add(array("labels", BYTES, labelBytes))
            }.joinToString(",")
        val received =
            downlink?.let {
                val table = if (it.tableSha256.isEmpty()) "" else ",\"table_sha256\":\"${it.tableSha256}\""
                """{"scale":${pythonFloat(it.scale.toDouble())},"cloud_version":${it.cloudVersion},"round_number":${it.round}$table}"""
            }
        val kept = if (columns.isEmpty()) "" else """"context":${jsonText(columnValues(columns), ",")},"""
        return """{"model":${jsonText(model)},"layout":${jsonText(layout)},"user":$user,"num_older":$olderItems,""" +
            """"round":$round,"downlink":$received,$kept"arrays":{$arrays}}"""
    }

    private fun array(name: String, dtype: String, length: Int) = """"$name":["$dtype",$length]"""

    internal companion object {
        private const val MAGIC = "ECDS"
        private const val WITHOUT_TIMES = 1
        private const val WITH_TIMES = 2
        private const val WITH_CONTEXT = 3
        private val FORMATS = setOf(WITHOUT_TIMES, WITH_TIMES)
        private const val FORMAT_PLACE = 4
        private const val PREFIX_BYTES = 12
        private const val INTEGERS = StateArrays.INTEGERS
        private const val LONGS = StateArrays.LONGS
        private const val FLOATS = StateArrays.FLOATS
        private const val BYTES = StateArrays.BYTES
        private val EMBEDDINGS = StateArrays.EMBEDDINGS
        private val TOLD_OF_DOWNLINKS = setOf("scale", "cloud_version", "round_number", "table_sha256")

        private fun sealed(format: Int) = Sealed(MAGIC, format, "state of a device")

        /**
         * Reads a state.
         *
         * @param name of its file, for messages.
         * @throws StateFileException when it is none, damaged, or of another format.
         */
        fun decode(content: ByteArray, name: String): DeviceState =
            try {
                val format = content.getOrNull(FORMAT_PLACE)?.toInt().takeIf { it in FORMATS } ?: WITH_CONTEXT
                read(sealed(format).unseal(content), name)
            } catch (error: SealException) {
                throw unusable(name, error)
            } catch (error: JsonException) {
                throw unusable(name, error)
            } catch (error: PayloadException) {
                throw unusable(name, error)
            }

        private fun unusable(name: String, error: Exception) =
            StateFileException(
                "$name: ${error.message}; restore the file, or delete it to begin the device anew",
                error,
            )

        private fun read(body: ByteBuffer, name: String): DeviceState {
            val (header, arrays) = StateArrays.read(body, name)
            val profile = arrays.integers("profile")
            val history = arrays.integers("history")
            val times = if (arrays.has("times")) arrays.longs("times") else LongArray(history.size)
            if (times.size != history.size || times.any { it !in 0..LATEST_SECOND }) {
                throw JsonException(
                    "times: expected one in 0..$LATEST_SECOND for each of ${history.size} interactions, got " +
                        "${times.firstOrNull { it !in 0..LATEST_SECOND } ?: "${times.size} times"}",
                )
            }
            val values = arrays.floats("values")
            val start = if (arrays.has("start")) arrays.floats("start") else FloatArray(0)
            checkFinite("values", values)
            checkFinite("start", start)
            checkRows("profile", profile)
            checkRows("history", history)
            if (start.size > values.size) {
                throw JsonException("expected starting weights of at most ${values.size} values, as it has, got ${start.size}")
            }
            val older = header.count("num_older")
            if (older > history.size) {
                throw JsonException("num_older must be in 0..${history.size}, the length of its history, got $older")
            }
            if ("downlink" !in header.names) throw JsonException("downlink: expected one or null, got nothing")
            val columns = if (header.has("context")) keptColumns(header.list("context")) else emptyList()
            return DeviceState(
                model = header.text("model"),
                layout = header.text("layout"),
                user = header.count("user"),
                profile = profile,
                history = history,
                times = times,
                olderItems = older,
                values = values,
                downlink = if (header.has("downlink")) downlink(arrays, header.child("downlink")) else null,
                round = header.count("round"),
                start = start,
                columns = columns,
                context = if (columns.isEmpty()) unknownContext(history.size, columns) else context(arrays, history.size, columns),
                labels = if (arrays.has("labels")) StateLabels.decode(arrays.bytes("labels"), history.size, profile.size, columns) else null,
            )
        }

        private fun checkFinite(name: String, values: FloatArray) {
            val wrong = values.indexOfFirst { !it.isFinite() }
            if (wrong >= 0) throw JsonException("$name: expected finite numbers, got ${values[wrong]} at [$wrong]")
        }

        private fun checkRows(name: String, rows: IntArray) {
            val wrong = rows.firstOrNull { it < 0 }
            if (wrong != null) throw JsonException("$name: expected row numbers in 0..${Int.MAX_VALUE}, got $wrong")
        }

        private fun context(arrays: StateArrays, history: Int, columns: List<KeptColumn>): List<Codes> {
            val rows = arrays.integers("context").toList().chunked(columns.size)
            if (rows.size != history) throw JsonException("context: expected codes of $history interactions, got ${rows.size}")
            checkCodes(rows, columns)
            return rows
        }

        private fun downlink(arrays: StateArrays, told: JsonObject): Downlink {
            val unknown = told.names - TOLD_OF_DOWNLINKS
            if (unknown.isNotEmpty()) throw JsonException("downlink: expected nothing unknown, got ${unknown.joinToString()}")
            val dtype = arrays.dtype("user_embedding")
            return Downlink(
                EMBEDDINGS.entries.first { it.value == dtype }.key,
                arrays.bytes("user_embedding"),
                told.number("scale").toFloat(),
                arrays.integers("queries"),
                told.count("cloud_version"),
                told.count("round_number"),
                told.textOrNull("table_sha256").orEmpty(),
            )
        }
    }
}
