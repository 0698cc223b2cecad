package ecct.edge

import java.nio.BufferUnderflowException
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
        return """{"model":"$model","layout":"$layout","user":$user,"num_older":$olderItems,""" +
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
        private const val INTEGERS = "<i4"
        private const val LONGS = "<i8"
        private const val FLOATS = "<f4"
        private const val BYTES = "|u1"
        private val EMBEDDINGS =
            mapOf(Codec.FLOAT32 to FLOATS, Codec.FLOAT16 to "<f2", Codec.INT8 to "|i1")

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
            } catch (error: BufferUnderflowException) {
                throw unusable(name, error)
            }

        private fun unusable(name: String, error: Exception) =
            StateFileException(
                "$name: ${error.message ?: "the header of the state promises more than its content"}; restore " +
                    "the file, or delete it to begin the device anew",
                error,
            )

        private fun read(body: ByteBuffer, name: String): DeviceState {
            body.getShort()
            val header = JsonObject.parse(body.bytes(body.getInt()).toString(Charsets.UTF_8), name)
            val forms = header.child("arrays")
            val profile = body.integers(forms, "profile")
            val history = body.integers(forms, "history")
            val times = if (forms.has("times")) body.longs(forms, "times") else LongArray(history.size)
            if (times.size != history.size || times.any { it < 0 }) {
                throw JsonException("times: expected one from 0 for each of ${history.size} interactions")
            }
            val values = body.floats(forms, "values")
            if (values.any { !it.isFinite() } || (profile + history).any { it < 0 }) {
                throw JsonException("expected finite values and rows from 0")
            }
            val columns = if (header.has("context")) keptColumns(header.list("context")) else emptyList()
            return DeviceState(
                model = header.text("model"),
                layout = header.text("layout"),
                user = header.count("user"),
                profile = profile,
                history = history,
                times = times,
                olderItems = header.count("num_older"),
                values = values,
                downlink = if (header.has("downlink")) body.downlink(forms, header.child("downlink")) else null,
                round = header.count("round"),
                start = if (forms.has("start")) body.floats(forms, "start") else FloatArray(0),
                columns = columns,
                context = if (columns.isEmpty()) unknownContext(history.size, columns) else body.context(forms, history.size, columns),
                labels = if (forms.has("labels")) body.labels(forms, history.size, profile.size, columns) else null,
            )
        }

        private fun ByteBuffer.context(forms: JsonObject, history: Int, columns: List<KeptColumn>): List<Codes> {
            val rows = integers(forms, "context").toList().chunked(columns.size)
            if (rows.size != history) throw JsonException("context: expected codes of $history interactions, got ${rows.size}")
            checkCodes(rows, columns)
            return rows
        }

        private fun ByteBuffer.labels(forms: JsonObject, history: Int, profile: Int, columns: List<KeptColumn>): StateLabels =
            StateLabels.decode(bytes(forms.length("labels", BYTES)), history, profile, columns)

        private fun ByteBuffer.downlink(forms: JsonObject, told: JsonObject): Downlink {
            val written = forms.list("user_embedding").firstOrNull()
            val codec =
                EMBEDDINGS.entries.find { it.value == written }?.key
                    ?: throw JsonException("user_embedding: expected ${EMBEDDINGS.values}, got $written")
            val embedding = bytes(forms.length("user_embedding", EMBEDDINGS.getValue(codec)), codec.valueBytes)
            return Downlink(
                codec,
                embedding,
                told.number("scale").toFloat(),
                integers(forms, "queries"),
                told.count("cloud_version"),
                told.count("round_number"),
                told.textOrNull("table_sha256").orEmpty(),
            )
        }

        private fun JsonObject.length(name: String, expected: String): Int {
            val form = list(name)
            if (form.size != 2) throw JsonException("$name: expected two entries, got ${form.size}")
            val (dtype, count) = form
            if (dtype != expected || count !is Double) {
                throw JsonException("$name: expected $expected and a count, got $dtype and $count")
            }
            return count.toInt()
        }

        // A checksum vouches for the bytes, not for the counts in them: nothing is allocated
        // that the rest of the body cannot fill.
        private fun ByteBuffer.bytes(count: Int, each: Int = 1): ByteArray {
            // In 64 bits: a count times its size must not wrap into one that there is.
            val size = count.toLong() * each
            if (size !in 0..remaining()) throw BufferUnderflowException()
            return ByteArray(size.toInt()).also { get(it) }
        }

        private fun ByteBuffer.integers(forms: JsonObject, name: String): IntArray {
            val part = ByteBuffer.wrap(bytes(forms.length(name, INTEGERS), Int.SIZE_BYTES)).order(order())
            return IntArray(part.remaining() / Int.SIZE_BYTES) { part.getInt() }
        }

        private fun ByteBuffer.longs(forms: JsonObject, name: String): LongArray {
            val part = ByteBuffer.wrap(bytes(forms.length(name, LONGS), Long.SIZE_BYTES)).order(order())
            return LongArray(part.remaining() / Long.SIZE_BYTES) { part.getLong() }
        }

        private fun ByteBuffer.floats(forms: JsonObject, name: String): FloatArray {
            val part = ByteBuffer.wrap(bytes(forms.length(name, FLOATS), Float.SIZE_BYTES)).order(order())
            return FloatArray(part.remaining() / Float.SIZE_BYTES) { part.getFloat() }
        }
    }
}
