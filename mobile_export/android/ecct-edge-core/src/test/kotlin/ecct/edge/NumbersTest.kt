package ecct.edge

import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class NumbersTest {
    // Of two categories the second becomes a number.
    private val model: ModelFile
        get() =
            Golden.modelWith { text ->
                val (_, second) = Golden.model.metadata.profile
                val rule = """{"log": false, "mean": 40.0, "scale": 20.0, "largest": 8.0, "steps": 65536}"""
                text.replace(
                    Regex("""\{"file":"[^"]*","name":"${second.name}","rows":\d+"""),
                    """{"file": null, "name": "age", "rows": 1048578, "number": $rule""",
                )
            }

    @Test
    fun codesAreThoseOfPython() {
        val cases = Golden.wire.children("numbers")
        assertEquals(3, cases.size)
        for (case in cases) {
            val rule = checkNotNull(EdgeMetadata.column(case.child("column")).number)
            val found = case.list("given").map { rule.code(it as Double?) }.toIntArray()
            assertContentEquals(ints(case.list("codes")), found)
            assertEquals(0, rule.code(Double.NaN))
            assertFailsWith<InputException> { rule.code(Double.NEGATIVE_INFINITY) }
        }
    }

    @Test
    fun aProfileHasNumbersByName() {
        val first = model.metadata.profile.first().name
        val known = 1 + 8 * 65536 + 32768
        assertContentEquals(intArrayOf(1, known), model.profileRows(mapOf("age" to " 50.0", first to "v1")))
        assertEquals("50.0", model.profileValue(1, known))
        assertContentEquals(intArrayOf(0, 0), model.profileRows(mapOf("age" to " ")))
        assertContentEquals(intArrayOf(0, 0), model.profileRows(emptyMap()))
        for (wrong in listOf("fifty", "Infinity")) {
            val error = assertFailsWith<InputException> { model.profileRows(mapOf("age" to wrong)) }
            assertTrue(error.message.orEmpty().contains("expected a"))
        }
    }
}
