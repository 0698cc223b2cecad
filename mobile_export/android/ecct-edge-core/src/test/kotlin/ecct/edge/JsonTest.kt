package ecct.edge

import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class JsonTest {
    @Test
    fun everyKindOfValueIsRead() {
        val text =
            """ {"a": [1, -2.5e3, 0], "b": {"c": null, "d": true, "e": false},
                 "f": "é\n\u00e9\"\\", "g": {}, "h": []} """
        val expected =
            mapOf(
                "a" to listOf(1.0, -2500.0, 0.0),
                "b" to mapOf("c" to null, "d" to true, "e" to false),
                "f" to "é\né\"\\",
                "g" to emptyMap<String, Any?>(),
                "h" to emptyList<Any?>(),
            )
        assertEquals(expected, Json.parse(text))
    }

    @Test
    fun whatIsNoJsonIsRefused() {
        val wrong =
            listOf("", "{", "[1,]", "[1 2]", "{\"a\" 1}", "{a: 1}", "01", "+1", "NaN", "tru", "1 1") +
                listOf("\"\\x\"", "\"\\u12g4\"", "\"a")
        for (text in wrong) assertFailsWith<JsonException>(text) { Json.parse(text) }
        assertFailsWith<JsonException> { Json.parse("[".repeat(100_000)) }
        assertFailsWith<JsonException> { Json.parse("\"\n\"") }
    }

    @Test
    fun valuesAreWrittenAsPythonWritesThem() {
        val text = """{"b": ["a", 1, 2.5, null, true], "a": {}}"""
        assertEquals("""{"a": {}, "b": ["a", 1, 2.5, null, true]}""", jsonText(Json.parse(text)))
        assertEquals("\"\\u00e9\\\"\"", jsonText("é\""))
    }

    @Test
    fun floatsAreWrittenAsPythonWritesThem() {
        val expected =
            listOf("0.0009765625", "0.0005", "0.0001", "5e-05", "6.103515625e-05", "5.960464477539063e-08") +
                listOf("0.5", "1.0", "-2.25", "65504.0", "12345678.0", "1e+16", "-0.0", "0.0", "1.7976931348623157e+308")
        assertEquals(expected, expected.map { pythonFloat(it.toDouble()) })
        assertEquals("{\"rate\": 0.0005}", jsonText(mapOf("rate" to 0.0005)))
        assertFailsWith<JsonException> { pythonFloat(Double.NaN) }
    }

    @Test
    fun messagesNameThePlace() {
        val found = JsonObject.parse("""{"a": {"b": "x"}}""", "file.json").child("a")
        val error = assertFailsWith<JsonException> { found.count("b") }
        assertEquals("file.json.a.b: expected a number, got x", error.message)
        assertFailsWith<JsonException> { JsonObject.parse("""{"a": 1.5}""", "f").count("a") }
        assertFailsWith<JsonException> { JsonObject.parse("[]", "f") }
    }
}
