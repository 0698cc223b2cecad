package ecct.edge

import java.io.File
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNull
import kotlin.test.assertTrue

class ModelFileTest {
    private fun refused(content: ByteArray): String? =
        assertFailsWith<ModelFileException> {
            // A manifest that vouches for it: what is wrong must be found without its help.
            ModelFile.parse("x", content, Manifest(mapOf("x" to sha256(content).toHex())))
        }.message

    @Test
    fun aFileOfPythonIsRead() {
        val metadata = Golden.model.metadata
        assertEquals("mlp", metadata.tier)
        assertEquals("trainable-int4", metadata.variant)
        assertEquals(6, metadata.historyLength)
        assertEquals(41, metadata.itemRows)
        assertEquals(Exchange(8, 3, 4, Codec.INT8, withLogits = true, noiseMultiplier = 0.0), metadata.exchange)
        assertEquals(Golden.downlink.size, metadata.exchange.downlinkBytes)
        assertEquals(6, metadata.training?.batchSize)
        assertEquals(
            setOf("infer", "score", "uplink", "train", "save", "restore", "reset_optimizer") +
                setOf("get_weights", "set_weights"),
            metadata.signatures.keys,
        )
        assertEquals(Port("history", TensorType.INT32, listOf(null, 6)), metadata.signature("train").input("history"))
    }

    @Test
    fun tokensAndProfileValuesBecomeRows() {
        val model = Golden.model
        assertEquals(1, model.itemRow("film 1"))
        assertEquals(39, model.itemRow("Amélie – 雨"))
        assertEquals(40, model.itemRow("two\u2028lines"))
        assertEquals(0, model.itemRow("never seen"))
        assertEquals(0, model.itemRow("<padding>"))
        assertEquals("film 38", model.itemToken(38))
        assertNull(model.itemToken(0))
        assertNull(model.itemToken(41))
        val (first, second) = model.metadata.profile
        assertContentEquals(intArrayOf(0, 1), model.profileRows(mapOf(second.name to "v1")))
        assertContentEquals(intArrayOf(0, 0), model.profileRows(mapOf(first.name to "never seen")))
        assertFailsWith<InputException> { model.profileRows(mapOf("shoe size" to "46")) }
    }

    @Test
    fun anAlteredFileIsRefusedBeforeAnythingReadsIt() {
        val altered = Golden.content.clone().also { it[it.size / 2] = (it[it.size / 2] + 1).toByte() }
        val manifest = Manifest.parse(Golden.manifestText)
        val error = assertFailsWith<ModelFileException> { ModelFile.parse("edge.tflite", altered, manifest) }
        assertTrue(error.message.orEmpty().contains("expected SHA-256 ${manifest.sha256["edge.tflite"]}"))
        assertFailsWith<ModelFileException> { ModelFile.parse("other.tflite", Golden.content, manifest) }
    }

    @Test
    fun aTruncatedZipIsRefused() {
        val whole = Golden.content
        assertTrue(refused(whole.copyOf(whole.size - 1)).orEmpty().contains("no end record"))
        assertTrue(refused(ByteArray(0)).orEmpty().contains("no end record"))
        assertTrue(refused(whole + 0).orEmpty().contains("no end record"))
        assertTrue(refused(whole.copyOf(100)).orEmpty().contains("no end record"))
        // The end record without the files that it announces.
        assertTrue(refused(whole.copyOfRange(whole.size - 22 - PROOF_BYTES, whole.size)).orEmpty().contains("no directory"))
        // A byte of the compressed metadata.
        val local = String(whole, Charsets.ISO_8859_1).lastIndexOf("PK\u0003\u0004")
        refused(whole.clone().also { for (at in local + 40 until local + 60) it[at] = -1 })
    }

    @Test
    fun aFileWithItsManifestIsOpened() =
        inFolder { folder ->
            val file = File(folder, "edge.tflite").apply { writeBytes(Golden.content) }
            assertFailsWith<ModelFileException> { ModelFile.open(file) }
            File(folder, ModelFile.MANIFEST).writeText(Golden.manifestText)
            assertEquals(Golden.model.sha256, ModelFile.open(file).sha256)
            File(folder, ModelFile.MANIFEST).writeText("{\"files\": [")
            assertFailsWith<ModelFileException> { ModelFile.open(file) }
            assertFailsWith<ModelFileException> { ModelFile.open(File(folder, "none.tflite")) }
            Unit
        }

    @Test
    fun metadataOfAnotherSchemaOrWithGapsIsRefused() {
        val text = associatedFiles(Golden.content).getValue(EdgeMetadata.FILE)
        fun refused(from: String, to: String) =
            assertFailsWith<ModelFileException>(to) { EdgeMetadata.parse(text.replace(from, to)) }
        val other = refused("ecct-edge/1", "ecct-edge/9")
        assertTrue(other.message.orEmpty().contains("expected schema ecct-edge/1, got ecct-edge/9"))
        refused("\"int32\"", "\"int64\"")
        refused("\"history_length\"", "\"length\"")
        refused("\"int8\"", "\"int9\"")
        assertFailsWith<ModelFileException> { EdgeMetadata.parse(text.dropLast(1)) }
    }

    @Test
    fun aModelThatReadsTheContextOfRequestsIsRefused() {
        val text = associatedFiles(Golden.content).getValue(EdgeMetadata.FILE)
        val features = "\"features\":{"
        assertTrue(features in text)
        val context = "\"context\":[{\"name\":\"network\",\"values\":[\"wifi\"]}],"
        val told =
            assertFailsWith<ModelFileException> { EdgeMetadata.parse(text.replace(features, features + context)) }
        assertTrue(told.message.orEmpty().contains("reads a context of requests (features.context)"))
        assertTrue(told.message.orEmpty().contains("export a run without it, or use the device in Python"))
    }

    @Test
    fun aModelThatReadsColumnsOfSeveralValuesIsRefused() {
        val text = associatedFiles(Golden.content).getValue(EdgeMetadata.FILE)
        val profile = "\"profile\":["
        assertTrue(profile in text)
        val set = "{\"name\":\"tags: a\",\"rows\":2,\"set\":{\"column\":\"tags\",\"value\":\"a\"}},"
        val told = assertFailsWith<ModelFileException> { EdgeMetadata.parse(text.replace(profile, profile + set)) }
        assertTrue(told.message.orEmpty().contains("reads private columns of several values"))
    }

    @Test
    fun aModelThatTakesRowsOfItemsIsRefused() {
        val text = associatedFiles(Golden.content).getValue(EdgeMetadata.FILE)
        val items = "\"items\":{"
        assertTrue(items in text)
        val held = "\"held\":{\"catalog\":1000000},"
        val told = assertFailsWith<ModelFileException> { EdgeMetadata.parse(text.replace(items, items + held)) }
        assertTrue(told.message.orEmpty().contains("exchange.items=candidates"))
    }

    @Test
    fun numbersThatNoTrainingCanHaveAreRefused() {
        val text = associatedFiles(Golden.content).getValue(EdgeMetadata.FILE)
        val wrong =
            listOf(
                "\"batch_size\":6" to "\"batch_size\":-2",
                "\"batch_size\":6" to "\"batch_size\":0",
                "\"epochs\":1" to "\"epochs\":0",
                "\"learning_rate\":0.1" to "\"learning_rate\":-0.1",
                "\"private_learning_rate\":0.05" to "\"private_learning_rate\":7",
                "\"negatives\":3" to "\"negatives\":0",
                "\"max_positions\":16" to "\"max_positions\":1.5",
            )
        for ((from, to) in wrong) {
            assertTrue(from in text, from)
            assertFailsWith<ModelFileException>(to) { EdgeMetadata.parse(text.replace(from, to)) }
        }
    }

    @Test
    fun theBufferOfAnInterpreterHoldsTheCheckedBytes() {
        val buffer = Golden.model.buffer()
        assertTrue(buffer.isDirect)
        assertEquals(java.nio.ByteOrder.nativeOrder(), buffer.order())
        assertContentEquals(Golden.content, ByteArray(buffer.remaining()).also { buffer.get(it) })
    }

    private companion object {
        /** The comment of the zip: `sha256:` and 64 digits. */
        const val PROOF_BYTES = 71
    }
}
