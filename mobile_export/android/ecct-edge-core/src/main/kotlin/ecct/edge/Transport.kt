package ecct.edge

/**
 * A request to the service.
 *
 * @property method such as `GET`.
 * @property path from the root of the service.
 * @property headers by name.
 * @property body empty for none.
 */
public class Request(
    public val method: String,
    public val path: String,
    public val headers: Map<String, String>,
    public val body: ByteArray = ByteArray(0),
)

/**
 * What the service answered.
 *
 * @property status of HTTP.
 * @property headers by their names in lower case.
 * @property body empty where a sink took it.
 */
public class Answer(
    public val status: Int,
    public val headers: Map<String, String>,
    public val body: ByteArray,
)

/** Takes the body of a success, decompressed, block by block; it refuses what is too long. */
public fun interface Sink {
    /** The first [length] bytes of [block] come next; [head] has status and headers. */
    public fun take(head: Answer, block: ByteArray, length: Int)
}

/** One request, one answer. Another HTTP library, or a test, takes the place of [HttpTransport]. */
public fun interface Transport {
    /**
     * Sends a request.
     *
     * @param sink takes the body of a success (200, 206); what it took before a connection broke stays with it.
     * @throws UnreachableException when there was no whole answer.
     * @throws TransportException when the service is not the one that is expected.
     */
    public fun ask(request: Request, sink: Sink?): Answer
}
