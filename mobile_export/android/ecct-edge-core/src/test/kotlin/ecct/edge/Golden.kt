package ecct.edge

import java.io.ByteArrayOutputStream
import java.io.File
import java.nio.file.Files
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream

/** The files that Python wrote, see `tests/mobile_export/test_mobile_export_android*.py`. */
internal object Golden {
    val content: ByteArray = resource("edge.tflite")
    val manifestText: String = resource("manifest.json").toString(Charsets.UTF_8)
    val case: JsonObject = json("case.json")
    val wire: JsonObject = json("wire.json")
    val altered: JsonObject get() = json("altered.json")
    val migration: JsonObject get() = json("migration.json")

    val model: ModelFile get() = ModelFile.parse("edge.tflite", content, Manifest.parse(manifestText))
    val user: Int get() = case.count("user")
    val history: List<String> get() = case.strings("history")
    val candidates: List<String> get() = case.strings("candidates")
    val profile: Map<String, String>
        get() = case.child("profile").let { found -> found.names.associateWith(found::text) }
    val downlink: ByteArray get() = case.hex("downlink")
    val stateBytes: ByteArray get() = case.child("state").hex("bytes")

    /** The same for a model that reads the time. */
    object Clock {
        val case: JsonObject = json("clock/case.json")
        val times: List<Long> = longs(case.list("times"))
        val now: Long = case.number("now").toLong()
        val model: ModelFile get() = modelIn("clock")
    }

    /** The same for a model with grades, weights and further targets. */
    object Outcomes {
        val case: JsonObject = json("outcomes/case.json")
        val items: List<String> = case.strings("items")
        val times: List<Long> = longs(case.list("times"))
        val context: Map<String, List<String?>> =
            case.child("context").let { told -> told.names.associateWith { told.list(it).map { each -> each as String? } } }
        val model: ModelFile get() = modelIn("outcomes")
    }

    /** The same for a model whose run exchanges through a codec of the app. */
    object OwnCodec {
        val case: JsonObject = json("own_codec/case.json")

        fun model(codecs: List<Codec>): ModelFile = modelIn("own_codec", codecs)
    }

    private fun modelIn(folder: String, codecs: List<Codec> = emptyList()): ModelFile {
        val manifest = Manifest.parse(resource("$folder/manifest.json").toString(Charsets.UTF_8))
        return ModelFile.parse("edge.tflite", resource("$folder/edge.tflite"), manifest, codecs)
    }

    /** The model with other metadata and files: a zip of them, in the place of a whole model. */
    fun modelWith(files: Map<String, String> = emptyMap(), change: (String) -> String): ModelFile {
        val zipped = ByteArrayOutputStream()
        ZipOutputStream(zipped).use { zip ->
            for ((name, text) in associatedFiles(content) + files) {
                zip.putNextEntry(ZipEntry(name))
                zip.write((if (name == EdgeMetadata.FILE) change(text) else text).toByteArray())
            }
        }
        val bytes = zipped.toByteArray()
        return ModelFile.parse("x", bytes, Manifest(mapOf("x" to sha256(bytes).toHex())))
    }

    private fun json(name: String) = JsonObject.parse(resource(name).toString(Charsets.UTF_8), name)

    private fun resource(name: String): ByteArray =
        checkNotNull(javaClass.getResourceAsStream("/golden/$name")) { "no $name" }.use { it.readBytes() }
}

internal fun JsonObject.strings(name: String): List<String> = list(name).map { it as String }

internal fun JsonObject.hex(name: String): ByteArray =
    text(name).chunked(2).map { it.toInt(16).toByte() }.toByteArray()

internal fun ints(values: Any?): IntArray = (values as List<*>).map { (it as Double).toInt() }.toIntArray()

internal fun longs(values: Any?): List<Long> = (values as List<*>).map { (it as Double).toLong() }

internal fun floats(values: Any?): FloatArray = (values as List<*>).map { (it as Double).toFloat() }.toFloatArray()

/** An array of the type and shape of [port] with the [values] of a JSON document. */
internal fun typed(port: Port, values: Any?): Any =
    when (port.shape.size to port.type) {
        1 to TensorType.FLOAT32 -> floats(values)
        1 to TensorType.INT32 -> ints(values)
        1 to TensorType.INT8 -> bytes(values)
        2 to TensorType.FLOAT32 -> (values as List<*>).map(::floats).toTypedArray()
        2 to TensorType.INT32 -> (values as List<*>).map(::ints).toTypedArray()
        else -> (values as List<*>).map(::bytes).toTypedArray()
    }

private fun bytes(values: Any?): ByteArray = ints(values).map { it.toByte() }.toByteArray()

/** Writes [state] as an opener that has read what is there. */
internal fun StateFile.put(state: DeviceState): StateFile.Kept = write(state, replaced = read())

/** A folder that is deleted when [block] ends. */
internal fun <T> inFolder(block: (File) -> T): T {
    val folder = Files.createTempDirectory("ecct").toFile()
    try {
        return block(folder)
    } finally {
        folder.deleteRecursively()
    }
}
