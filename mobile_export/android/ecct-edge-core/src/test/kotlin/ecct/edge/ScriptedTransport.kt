package ecct.edge

/** An answer of a script: after [breakAfter] bytes of its body the connection breaks; null for whole ones. */
internal class Scripted(
    val status: Int,
    val body: ByteArray = ByteArray(0),
    val headers: Map<String, String> = emptyMap(),
    val breakAfter: Int? = null,
)

/** Answers by a script, one request after another; the last answer stays. */
internal class ScriptedTransport(private vararg val answers: Scripted) : Transport {
    val asked = ArrayList<Request>()

    override fun ask(request: Request, sink: Sink?): Answer {
        val answer = answers[minOf(asked.size, answers.size - 1)]
        asked += request
        val took = answer.status == 200 || answer.status == 206
        val head = Answer(answer.status, answer.headers, ByteArray(0))
        val part = answer.body.copyOf(answer.breakAfter ?: answer.body.size)
        if (sink != null && took) {
            for (block in part.toList().chunked(1000)) sink.take(head, block.toByteArray(), block.size)
        }
        if (answer.breakAfter != null) throw UnreachableException("it broke")
        return if (sink != null && took) head else Answer(answer.status, answer.headers, answer.body)
    }
}

internal fun said(status: Int, text: String = "{}", vararg headers: Pair<String, String>) =
    Scripted(status, text.toByteArray(), mapOf(*headers))
