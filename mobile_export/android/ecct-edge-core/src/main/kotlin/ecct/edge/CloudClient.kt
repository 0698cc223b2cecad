package ecct.edge

import java.io.File
import java.io.FileOutputStream
import java.io.IOException

/**
 * What the service did with answers, all of which are its affair now.
 *
 * @property taken in its log since now.
 * @property repeated that were in it.
 * @property tooOld of rounds so old that they cannot be told from repeated ones.
 */
public class Sent(
    public val taken: Int,
    public val repeated: Int,
    public val tooOld: Int,
) {
    internal companion object {
        /** The receipt of [answers]; one of more or fewer confirms none. */
        fun read(told: JsonObject, answers: Int): Sent {
            val sent = Sent(told.count("taken"), told.count("repeated"), told.count("too_old"))
            val counted = sent.taken.toLong() + sent.repeated + sent.tooOld
            if (counted != answers.toLong()) {
                throw JsonException("answer: expected a receipt of $answers answers, got one of $counted")
            }
            return sent
        }
    }
}

/**
 * A device's side of `ecct cloud serve`: fetches what is published, resuming where a connection broke, and
 * hands over answers. Its calls block. `mobile_export.transport.CloudClient` in Python sends the same requests.
 *
 * @param transport to the service.
 * @param token of the device.
 * @param cache folder in the app's private storage for what is fetched; parts of files wait there, too.
 * @param retries how often a request is tried.
 * @param keys of whom publications must be signed by, one of them; none takes unsigned ones too.
 * @param ed25519 checks signatures.
 * @param nowSeconds the clock by which signatures expire, in seconds since 1970.
 */
public class CloudClient(
    private val transport: Transport,
    private var token: String,
    private val cache: File,
    private val retries: Retries = Retries(),
    private val keys: List<PublicKey> = emptyList(),
    ed25519: Ed25519 = PlatformEd25519,
    private val nowSeconds: () -> Long = { System.currentTimeMillis() / 1000 },
) {
    private val signatures = SignatureCheck(keys, ed25519)
    private var takesPlaces = false

    /**
     * What is published now; fetched only where it changed.
     *
     * From here on [send] leaves items out where the service says that it takes answers by place.
     *
     * @throws TransportException when it cannot be fetched, or is damaged.
     * @throws SignatureException when it is not signed by one of the keys, has expired, or is older than one that was
     * accepted; what was fetched before stays.
     */
    public fun current(): Publication {
        val kept = File(cache, CURRENT)
        val known = if (kept.exists()) kept.readBytes() else ByteArray(0)
        val condition = if (known.isEmpty()) emptyMap() else mapOf("If-None-Match" to "\"${sha256(known).toHex()}\"")
        val answer = ask("GET", "/v1/current", condition)
        val content = if (answer.status == NOT_MODIFIED) known else body(answer, "/v1/current")
        if (keys.isNotEmpty()) checkSignature(content)
        val found =
            try {
                Publication.parse(content)
            } catch (error: PayloadException) {
                kept.delete()
                throw TransportException("/v1/current: ${error.message}", error)
            }
        if (!content.contentEquals(known)) onDisk(kept) { writeAtomically(kept, content) }
        takesPlaces = answer.headers[ANSWER_BY] == "place"
        return found
    }

    /** Remembers the newest signature, before what it signs is used. */
    private fun checkSignature(content: ByteArray) {
        val kept = File(cache, NEWEST_SIGNED)
        val newest =
            if (!kept.exists()) {
                0
            } else {
                kept.readText().trim().toLongOrNull() ?: throw SignatureException(
                    "$kept: expected when the newest accepted publication was signed; remove the file if you trust what " +
                        "the service offers now",
                )
            }
        val issued = signatures.issued(content, nowSeconds(), newest)
        if (issued > newest) onDisk(kept) { writeAtomically(kept, "$issued\n".toByteArray()) }
    }

    /**
     * The downlink of the token's user; of a user whom the cloud does not know, a segment's.
     *
     * @param publication the current one.
     * @param exchange of the model that reads it.
     * @param segment place in its `segmentNames`; the first is that of all users.
     * @throws TransportException when it cannot be fetched or is damaged.
     * @throws StalePublicationException when it is of another publication.
     */
    public fun downlink(publication: Publication, exchange: Exchange, segment: Int = 0): Downlink {
        val answer = ask("GET", "/v1/downlink", emptyMap())
        val own = answer.status != NOT_FOUND
        val found =
            try {
                val content = if (own) body(answer, "/v1/downlink") else file(publication.segments)
                val file = DownlinkFile.parse(content)
                if (file.segments == own || (own && file.keys.size != 1)) {
                    throw PayloadException(
                        "expected downlinks of ${if (own) "users, of one alone" else "segments"}, got " +
                            "${file.keys.size} of ${if (file.segments) "segments" else "users"}; is it the service that is meant?",
                    )
                }
                file.of(if (own) file.keys.single() else segment, exchange)
            } catch (error: PayloadException) {
                throw TransportException("/v1/downlink: ${error.message}", error)
            }
        if (found == null) throw TransportException("/v1/downlink: expected one of segment $segment, there is none")
        if (found.cloudVersion != publication.cloudVersion || found.round != publication.round) {
            throw StalePublicationException(
                "/v1/downlink: expected one of version ${publication.cloudVersion} and round ${publication.round}, " +
                    "got ${found.cloudVersion} and ${found.round}; the cloud published meanwhile, ask again",
            )
        }
        return found
    }

    /**
     * A published file, from the cache or fetched; a broken download resumes where it broke.
     *
     * @throws TransportException when it cannot be fetched, or is not what the publication says.
     */
    public fun file(wanted: PublishedFile): ByteArray =
        fetched("/v1/files/${wanted.path}", File(cache, wanted.path), "\"${wanted.sha256}\"", wanted.numBytes) { content ->
            val length = content.size - DIGEST_BYTES
            content.size == wanted.numBytes && length > 0 &&
                content.copyOfRange(length, content.size).toHex() == wanted.sha256 &&
                sha256(content, length).toHex() == wanted.sha256
        }.readBytes()

    /**
     * An exported file that the service offers, with its manifest beside it, for `ModelFile.open`.
     *
     * @throws TransportException when it is not offered, or not what its manifest says.
     */
    public fun model(name: String): File {
        val content = body(ask("GET", "/v1/models/$MANIFEST", emptyMap()), "/v1/models/$MANIFEST")
        val manifest =
            try {
                Manifest.parse(String(content, Charsets.UTF_8))
            } catch (error: ModelFileException) {
                throw TransportException("/v1/models: ${error.message}", error)
            }
        val expected = manifest.sha256[name]
        if (expected == null) throw TransportException("/v1/models: expected $name in the manifest, it is not offered")
        val folder = File(cache, expected.take(NAME_DIGITS))
        val most = manifest.bytes[name] ?: MOST_MODEL_BYTES
        val file =
            fetched("/v1/models/$name", File(folder, name), "\"$expected\"", most) { sha256(it).toHex() == expected }
        onDisk(folder) { writeAtomically(File(folder, MANIFEST), content) }
        return file
    }

    /**
     * Hands over answers; when it returns, they are on the service's disk.
     *
     * @param records of `uplinkRecord`, all of the token's user. Where the service takes answers by place they
     *   travel without their items, unless it asks for these.
     * @throws RecordRefusedException when one can never be taken; the others were not either.
     * @throws TransportException when nothing is known of them; send them again.
     */
    public fun send(records: List<ByteArray>): Sent {
        var answer = put(if (takesPlaces) records.map(::byPlace) else records)
        // The service no longer has the questions of one of them.
        if (takesPlaces && answer.status == UNPROCESSABLE && answerBy(answer) == "item") answer = put(records)
        val told = json(answer)
        if (answer.status in REFUSED && told.has("index")) {
            val index = part { told.count("index") }
            throw RecordRefusedException(told.value("error").toString(), index)
        }
        body(answer, "/v1/uplinks")
        return part { Sent.read(told, records.size) }
    }

    /**
     * A new token, which this client uses from now on; the app has to keep it.
     *
     * @throws TransportException when there is none; the old one is still used.
     */
    public fun rotateToken(): String {
        val answer = ask("POST", "/v1/token", emptyMap())
        body(answer, "/v1/token")
        token = part { json(answer).text("token") }
        return token
    }

    private fun put(records: List<ByteArray>): Answer {
        val headers = mapOf("Content-Type" to "application/octet-stream")
        return ask("PUT", "/v1/uplinks", headers, records.fold(ByteArray(0), ByteArray::plus))
    }

    private fun answerBy(answer: Answer): String? = runCatching { json(answer).textOrNull("answer_by") }.getOrNull()

    private fun ask(
        method: String,
        path: String,
        headers: Map<String, String>,
        body: ByteArray = ByteArray(0),
    ): Answer = allowed(retries.ask(transport, null) { Request(method, path, own() + headers, body) })

    private fun own() = mapOf("Authorization" to "Bearer $token")

    private fun fetched(path: String, kept: File, etag: String, most: Int, sound: (ByteArray) -> Boolean): File {
        // What was damaged since is fetched anew.
        if (kept.exists() && sound(kept.readBytes())) return kept
        val draft = File(kept.absoluteFile.parentFile, ".${kept.name}.part")
        draft.parentFile.mkdirs()
        repeat(2) {
            onDisk(draft) {
                download(path, draft, etag, most)
                if (draft.exists() && sound(draft.readBytes())) {
                    if (!draft.renameTo(kept)) throw IOException("$draft could not be renamed")
                    return kept
                }
                // Of another content before it was broken off, or damaged on the way.
                draft.delete()
            }
        }
        throw TransportException("$path: expected the content that was published, got another twice")
    }

    /** Fills [draft] to its end, at most [most] bytes; what a broken connection brought stays in it. */
    private fun download(path: String, draft: File, etag: String, most: Int) {
        var last: Answer? = null
        val sink =
            Sink { head, block, length ->
                val append = head.status == PARTIAL || head === last
                last = head
                if ((if (append) draft.length() else 0L) + length > most) {
                    draft.delete()
                    throw TransportException(
                        "$path: expected at most the $most bytes that were announced, got more; is it the service " +
                            "that is meant?",
                    )
                }
                FileOutputStream(draft, append).use { it.write(block, 0, length) }
            }
        val answer =
            allowed(
                retries.ask(transport, sink) {
                    val have = draft.length()
                    val rest = if (have > 0) mapOf("Range" to "bytes=$have-", "If-Range" to etag) else emptyMap()
                    Request("GET", path, own() + rest)
                },
            )
        // 416: all of it is here, or more than there is.
        if (answer.status != OK && answer.status != PARTIAL && answer.status != BEYOND) {
            throw TransportException("$path: the service answered ${answer.status}")
        }
        if (draft.exists()) FileOutputStream(draft, true).use { it.fd.sync() }
    }

    private fun allowed(answer: Answer): Answer {
        if (answer.status == UNAUTHORIZED) {
            throw TokenRefusedException(
                "the service refused the token: it expired or was revoked; get another one",
            )
        }
        return answer
    }

    private fun body(answer: Answer, path: String): ByteArray {
        if (answer.status != OK) {
            val told = runCatching { json(answer).textOrNull("error") }.getOrNull().orEmpty()
            throw TransportException("$path: the service answered ${answer.status}: $told")
        }
        return answer.body
    }

    private fun json(answer: Answer): JsonObject =
        try {
            JsonObject.parse(String(answer.body, Charsets.UTF_8), "answer")
        } catch (error: JsonException) {
            JsonObject(emptyMap<String, Any?>(), "answer")
        }

    private fun <T> part(read: () -> T): T =
        try {
            read()
        } catch (error: JsonException) {
            throw TransportException("the service's ${error.message}; is it the service that is meant?", error)
        }

    private inline fun <T> onDisk(file: File, block: () -> T): T =
        try {
            block()
        } catch (error: IOException) {
            throw TransportException("$file: cannot be written: ${error.message}; is the app's storage full?", error)
        }

    private companion object {
        const val CURRENT = "current.json"
        const val NEWEST_SIGNED = "newest-signed"
        const val MANIFEST = ModelFile.MANIFEST
        const val DIGEST_BYTES = Sealed.DIGEST_BYTES
        const val NAME_DIGITS = 16

        // Of a model whose manifest does not say how long it is.
        const val MOST_MODEL_BYTES = 1 shl 30
        const val OK = 200
        const val PARTIAL = 206
        const val NOT_MODIFIED = 304
        const val UNAUTHORIZED = 401
        const val NOT_FOUND = 404
        const val BEYOND = 416
        const val UNPROCESSABLE = 422
        const val ANSWER_BY = "ecct-answer-by"
        val REFUSED = setOf(400, 403, 413, 422)
    }
}
