package ecct.edge

import kotlin.math.min
import kotlin.math.pow

/**
 * How often a request is tried, and how long in between; never all devices at the same moment.
 *
 * Before attempt n + 1 it waits a random time up to `firstSeconds * 2^(n - 1)`, or what the service
 * asked for and as much again at random.
 *
 * @property attempts at most.
 * @property firstSeconds the longest wait before the second.
 * @property mostSeconds the longest wait at all.
 * @property sleep waits so many seconds.
 * @property draw a random number in [0, 1).
 */
public class Retries(
    public val attempts: Int = 5,
    public val firstSeconds: Double = 1.0,
    public val mostSeconds: Double = 120.0,
    public val sleep: (Double) -> Unit = { Thread.sleep((it * MILLISECONDS).toLong()) },
    public val draw: () -> Double = { Math.random() },
) {
    /** How long to wait after so many [failed] attempts, where the service [asked] for so many seconds. */
    internal fun waitSeconds(failed: Int, asked: String?): Double {
        val seconds = asked?.takeIf { DIGITS.matches(it) }?.toDouble()
        if (seconds != null) return min(mostSeconds, seconds * (1 + draw()))
        return min(mostSeconds, firstSeconds * 2.0.pow(failed - 1)) * draw()
    }

    /**
     * Asks again where that can help. All requests of devices may be repeated: answers are taken once.
     *
     * @param request makes that of each attempt: of a download, where it resumes.
     * @throws UnreachableException when no attempt gave an answer other than to try again.
     */
    internal fun ask(transport: Transport, sink: Sink?, request: () -> Request): Answer {
        var failed = 0
        while (true) {
            val asked = request()
            var wait: String? = null
            val problem =
                try {
                    val answer = transport.ask(asked, sink)
                    if (answer.status !in AGAIN) return answer
                    wait = answer.headers["retry-after"]
                    UnreachableException("${asked.method} ${asked.path}: the service answered ${answer.status}")
                } catch (error: UnreachableException) {
                    error
                }
            failed++
            if (failed >= attempts) throw problem
            sleep(waitSeconds(failed, wait))
        }
    }

    private companion object {
        const val MILLISECONDS = 1000
        val AGAIN = setOf(408, 425, 429, 500, 502, 503, 504)
        val DIGITS = Regex("[0-9]{1,9}")
    }
}
