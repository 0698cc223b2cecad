package ecct.edge

import kotlin.math.PI
import kotlin.math.cos
import kotlin.math.ln1p
import kotlin.math.sin

/** What a reading of the clock begins with: known, session, hour and weekday as sine and cosine. */
internal const val CLOCK_CONTEXT = 6

/** Seconds since 1970 from which a number is a time. */
private const val EARLIEST_SECONDS = 365L * 86_400

/** Seconds without an interaction that end a session. */
private const val SESSION_GAP_SECONDS = 30L * 60

private const val HOUR_SECONDS = 3_600L
private const val DAY_SECONDS = 86_400L
private const val WEEK_SECONDS = 7 * DAY_SECONDS

// 1970-01-01 was a Thursday; weeks begin on Monday.
private const val FIRST_MONDAY_SECONDS = 4 * DAY_SECONDS

/** Stands for a time that nobody knows. */
internal const val UNKNOWN_TIME = 0L

/**
 * What a model reads of the time, as `clock_reading` of `ecct_tf.data.clock` makes it: zeros, a
 * silent clock, where [now] or one of the newest times is unknown or before 1971.
 *
 * @param times seconds since 1970 of the interactions, oldest first.
 * @param now second of the request.
 * @param length L, slots of the history.
 * @param end how many of the interactions came before the request.
 */
internal fun clockReading(times: LongArray, now: Long, length: Int, end: Int = times.size): FloatArray {
    val reading = FloatArray(CLOCK_CONTEXT + length)
    val newest = times.copyOfRange(maxOf(0, end - length), end)
    if (now < EARLIEST_SECONDS || newest.any { it < EARLIEST_SECONDS }) return reading
    val day = 2 * PI * (now % DAY_SECONDS / DAY_SECONDS.toDouble())
    val week = 2 * PI * (Math.floorMod(now - FIRST_MONDAY_SECONDS, WEEK_SECONDS) / WEEK_SECONDS.toDouble())
    reading[0] = 1f
    reading[1] = ln1p(sessionPosition(newest, now).toDouble()).toFloat()
    reading[2] = sin(day).toFloat()
    reading[3] = cos(day).toFloat()
    reading[4] = sin(week).toFloat()
    reading[5] = cos(week).toFloat()
    if (newest.isNotEmpty()) {
        // A clock that was set back makes no pause negative.
        val hours = FloatArray(newest.size) { (maxOf(now - newest[it], 0L) / HOUR_SECONDS.toDouble()).toFloat() }
        reading.fill(hours[0], CLOCK_CONTEXT)
        hours.copyInto(reading, reading.size - hours.size)
    }
    return reading
}

/** How many of the newest interactions came after the last long pause. */
private fun sessionPosition(newest: LongArray, now: Long): Int {
    var later = now
    for (place in newest.indices.reversed()) {
        if (later - newest[place] > SESSION_GAP_SECONDS) return newest.size - 1 - place
        later = newest[place]
    }
    return newest.size
}

/**
 * Checks times that an app gave, and puts [UNKNOWN_TIME] in the place of null.
 *
 * @param latest second after which none can be.
 * @throws InputException when there is not one for each of [count], or one cannot be.
 */
internal fun interactionTimes(times: List<Long?>?, count: Int, latest: Long): LongArray {
    if (times == null) return LongArray(count) { UNKNOWN_TIME }
    if (times.size != count) {
        throw InputException("times: expected one for each of $count interactions, got ${times.size}; $WAY_OUT")
    }
    return LongArray(count) { possible(times[it] ?: UNKNOWN_TIME, "times: interaction $it", latest) }
}

/** [time], or an [InputException] when it is negative or later than [latest]. */
internal fun possible(time: Long, what: String, latest: Long): Long {
    if (time < 0) throw InputException("$what: expected seconds from 0, got $time; $WAY_OUT")
    if (time > latest) {
        throw InputException(
            "$what: expected a time up to $latest, a day from now by this device's clock, got $time; are " +
                "these milliseconds? Otherwise $WAY_OUT",
        )
    }
    return time
}

/** The last second that devices in every language keep exactly. */
internal const val LATEST_SECOND = (1L shl 53) - 1

/** The last second that can be, a day from [now]; any where the device's clock was never set. */
internal fun latestTime(now: Long): Long =
    if (now in EARLIEST_SECONDS..LATEST_SECOND - DAY_SECONDS) now + DAY_SECONDS else LATEST_SECOND

private const val WAY_OUT = "give whole seconds since 1970, or null where the time is unknown"
