package ecct.edge

import java.io.File
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotNull
import kotlin.test.assertTrue

/** Walks the table of `docs/migration.md`, whose rows Python wrote to `migration.json`. */
class MigrationTest {
    /** The model that takes over. */
    private fun model(row: JsonObject): ModelFile {
        val texts = row.child("texts")
        val changed = row.value("metadata") as Map<*, *>
        return Golden.modelWith(texts.names.associateWith(texts::text)) { jsonText((Json.parse(it) as Map<*, *>) + changed) }
    }

    private fun open(row: JsonObject, model: ModelFile, states: StateFile): EdgeRecommender {
        val fake = FakeInterpreter(model.metadata)
        fake.state = FloatArray(fake.state.size) { -it / 1024f }
        return EdgeRecommender.open(
            model,
            { fake },
            states,
            Golden.user,
            profile = if (row.has("given")) row.child("given").run { names.associateWith(::text) } else null,
            adopt = true,
            weightsAnew = row.flag("anew"),
            previous = if (row.flag("previous")) Golden.model else null,
        )
    }

    @Test
    fun eachChangeKeepsOrRefusesAsInPython() {
        val table = Golden.migration
        val rows = table.children("rows")
        assertTrue(rows.size > 20)
        for (row in rows) {
            val before = table.child("states").hex(row.text("state"))
            inFolder { walk(row, before, StateFile(File(it, "device.state"))) }
        }
    }

    private fun walk(row: JsonObject, before: ByteArray, states: StateFile) {
        val change = row.text("change")
        states.file.writeBytes(before)
        val model = model(row)
        if (!row.has("adopted")) {
            val error = assertFailsWith<StateFileException>(change) { open(row, model, states) }
            assertTrue(row.text("refused") in error.message.orEmpty(), "$change: ${error.message}")
            assertContentEquals(before, states.file.readBytes(), change)
            return
        }
        open(row, model, states).use { device ->
            val expected = DeviceState.decode(row.hex("adopted"), change).copy(model = model.sha256).encode()
            assertEquals(String(expected, Charsets.ISO_8859_1), String(states.file.readBytes(), Charsets.ISO_8859_1), change)
            val told = row.child("migration")
            val counts = listOf("moved", "unknown", "returned").map(told::count)
            val migration = assertNotNull(device.migration)
            assertEquals(counts, listOf(migration.moved, migration.unknown, migration.returned), change)
            assertEquals(told.strings("notes").map { it.replace(" x ", " ${model.name} ") }, migration.notes, change)
        }
        // Opened again it is a state like any other.
        open(row, model, states).use { assertEquals(null, it.migration) }
    }

    @Test
    fun unknownItemsWaitByTheirTokens() =
        inFolder { folder ->
            val states = StateFile(File(folder, "device.state"))
            EdgeRecommender.open(Golden.model, { FakeInterpreter(Golden.model.metadata) }, states, Golden.user).use {
                assertEquals(2, it.interact(listOf("new", "film 1", "film 2", "new"), listOf(5L, 6L, null, 8L)))
                assertEquals(mapOf("new" to 2), it.unknownItems)
                assertTrue("\"waiting\": [[\"new\", 0, 5], [\"new\", 2, 8]]" in it.exportPersonalData())
            }
            val newer = Golden.modelWith(mapOf("items.txt" to itemsAnd("new"))) { it.replace("\"rows\":41", "\"rows\":42") }
            val fake = FakeInterpreter(newer.metadata)
            EdgeRecommender.open(newer, { fake }, states, Golden.user, adopt = true).use {
                assertEquals(emptyMap(), it.unknownItems)
                assertContentEquals(intArrayOf(41, 1, 2, 41), it.state.history)
                assertContentEquals(longArrayOf(5, 6, 0, 8), it.state.times)
                assertEquals(2, it.migration?.returned)
            }
        }

    private fun itemsAnd(token: String) =
        associatedFiles(Golden.content).getValue("items.txt").removeSuffix("\n") + "\n$token\n"
}
