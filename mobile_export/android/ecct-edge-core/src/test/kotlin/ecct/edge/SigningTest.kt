package ecct.edge

import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue

/** Signed publications, judged as Python judges them: `signatures.json`. */
class SigningTest {
    private val table =
        checkNotNull(javaClass.getResourceAsStream("/golden/signatures.json")).use {
            JsonObject.parse(String(it.readBytes()), "signatures.json")
        }
    private val keys = table.strings("keys").map(PublicKey::parse)
    private val cases = table.children("cases")

    private fun case(name: String) = cases.single { it.text("name") == name }

    private fun client(cache: File, now: Long, vararg answers: Scripted, ed25519: Ed25519 = PlatformEd25519) =
        CloudClient(ScriptedTransport(*answers), "t", cache, Retries(attempts = 1), keys, ed25519) { now }

    @Test
    fun eachCaseIsJudgedAsByPython() {
        assertTrue(cases.size > 12)
        val check = SignatureCheck(keys, PlatformEd25519)
        for (case in cases) {
            val content = case.text("text").toByteArray()
            val judge = { check.issued(content, case.count("now").toLong(), case.count("newest").toLong()) }
            val refused = case.text("refused")
            if (refused.isEmpty()) {
                assertTrue("\"issued_at\": ${judge()}," in case.text("text"), case.text("name"))
            } else {
                val error = assertFailsWith<SignatureException>(case.text("name")) { judge() }
                assertTrue(refused in error.message.orEmpty(), "${case.text("name")}: ${error.message}")
            }
        }
    }

    @Test
    fun aKeyIsALineOrNone() {
        val line = table.strings("keys").first()
        for (other in listOf("", "ecct-ed25519 00", line.uppercase(), "${line}0", "ssh-ed25519 AAAA")) {
            assertFailsWith<SignatureException>(other) { PublicKey.parse(other) }
        }
        assertEquals(keys.first().fingerprint, PublicKey.parse("$line\n").fingerprint)
    }

    @Test
    fun aSignatureOfRfc8032() {
        val hex = { text: String -> text.chunked(2).map { it.toInt(16).toByte() }.toByteArray() }
        val key = hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
        val signature =
            hex(
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da" +
                    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
            )
        assertTrue(PlatformEd25519.fits(key, signature, byteArrayOf(0x72)))
        assertFalse(PlatformEd25519.fits(key, signature, byteArrayOf(0x73)))
    }

    @Test
    fun aClientTakesNoOlderPublicationAgainInAnotherProcessEither() =
        inFolder { cache ->
            val signed = case("signed")
            val (text, now) = signed.text("text") to signed.count("now").toLong()
            assertEquals(5, client(cache, now, said(200, text)).current().round)
            assertEquals(5, client(cache, now, said(304)).current().round)
            File(cache, "newest-signed").writeText("${now + 1}\n")
            val error = assertFailsWith<SignatureException> { client(cache, now, said(200, text)).current() }
            assertTrue("before one that was accepted" in error.message.orEmpty())
            File(cache, "newest-signed").writeText("?")
            assertFailsWith<SignatureException> { client(cache, now, said(200, text)).current() }
        }

    @Test
    fun aServiceThatSaysForeverThatNothingChangedIsNotBelieved() =
        inFolder { cache ->
            val signed = case("signed")
            val now = signed.count("now").toLong()
            client(cache, now, said(200, signed.text("text"))).current()
            assertFailsWith<SignatureException> { client(cache, now + 90 * 86_400, said(304)).current() }
        }

    @Test
    fun whatIsRefusedIsNotKept() =
        inFolder { cache ->
            for (case in cases.filter { it.text("refused").isNotEmpty() && it.count("newest") == 0 }) {
                val now = case.count("now").toLong()
                assertFailsWith<SignatureException> { client(cache, now, said(200, case.text("text"))).current() }
            }
            assertEquals(0, cache.listFiles().orEmpty().size)
            val cannot = Ed25519 { _, _, _ -> throw SignatureException("no Ed25519") }
            val text = case("signed").text("text")
            assertFailsWith<SignatureException> { client(cache, 0, said(200, text), ed25519 = cannot).current() }
        }
}
