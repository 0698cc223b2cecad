package ecct.edge

import java.io.File
import java.io.IOException

/**
 * What became of the answers that waited.
 *
 * @property taken by the cloud.
 * @property repeated that it had, and those too old for it to tell.
 * @property refused that it can never take; they lie in the folder `refused`, each with the reason.
 */
public class OutboxReport(
    public val taken: Int,
    public val repeated: Int,
    public val refused: Int,
)

/**
 * The answers of one device that the cloud has not confirmed, a file each, for weeks without network.
 *
 * @param folder of the files, in the app's private storage.
 * @param most answers that wait at most; beyond it the oldest goes. The cloud tells the last 64
 *   rounds of a device apart, older ones it drops.
 */
public class Outbox(
    private val folder: File,
    private val most: Int = MOST_ROUNDS,
) {
    /** How many wait. */
    public val size: Int get() = names().size

    /** The newest round that was answered into this folder; null before the first. */
    public val answeredRound: Int?
        get() = File(folder, ANSWERED).takeIf { it.exists() }?.readText()?.trim()?.toIntOrNull()

    /**
     * Keeps an answer, on the disk before this returns; a round is answered once.
     *
     * @param record of `EdgeRecommender.uplinkRecord`.
     * @throws PayloadException when it is none.
     * @throws StateFileException when it cannot be written.
     */
    public fun add(record: ByteArray) {
        val round = recordRound(record)
        try {
            val file = File(folder, "%010d.ecup".format(java.util.Locale.ROOT, round))
            if (!file.exists()) writeAtomically(file, record)
            val newest = maxOf(round, answeredRound ?: round)
            writeAtomically(File(folder, ANSWERED), "$newest\n".toByteArray())
        } catch (error: IOException) {
            throw StateFileException(
                "$folder: expected a folder for answers that can be written: ${error.message}; is the app's " +
                    "storage full?",
                error,
            )
        }
        names().dropLast(most).forEach { File(folder, it).delete() }
    }

    /**
     * Sends what waits, oldest first; what the cloud confirmed is removed.
     *
     * @throws TransportException when the cloud could not be reached; what it did not confirm stays.
     */
    public fun send(client: CloudClient): OutboxReport {
        var taken = 0
        var repeated = 0
        val refused = ArrayList<String>()
        for (portion in portions(refused)) {
            val left = portion.toMutableList()
            while (left.isNotEmpty()) {
                try {
                    val sent = client.send(left.map { (_, record) -> record })
                    taken += sent.taken
                    repeated += sent.repeated + sent.tooOld
                    left.forEach { (name, _) -> File(folder, name).delete() }
                    left.clear()
                } catch (error: RecordRefusedException) {
                    if (error.index !in left.indices) {
                        throw TransportException("the service refused record ${error.index} of ${left.size}", error)
                    }
                    val (name, record) = left.removeAt(error.index)
                    setAside(name, record, error.message.orEmpty())
                    refused += name
                }
            }
        }
        return OutboxReport(taken, repeated, refused.size)
    }

    /**
     * Removes all of it: answers that wait, those set aside, and what a kill left half written.
     *
     * @throws StateFileException when something cannot be removed.
     */
    public fun forget() {
        if (folder.exists() && !folder.deleteRecursively()) {
            throw StateFileException("$folder: expected a folder that can be removed; call again to remove the rest")
        }
    }

    private fun names(): List<String> = folder.list().orEmpty().filter(NAME::matches).sorted()

    /** What waits, in requests well below what a service takes; damaged files are set aside. */
    private fun portions(refused: MutableList<String>): List<List<Pair<String, ByteArray>>> {
        val portions = ArrayList<MutableList<Pair<String, ByteArray>>>()
        var bytes = 0
        for (name in names()) {
            val record = File(folder, name).readBytes()
            try {
                recordRound(record)
            } catch (error: PayloadException) {
                setAside(name, record, error.message.orEmpty())
                refused += name
                continue
            }
            val last = portions.lastOrNull()
            if (last == null || last.size == MOST_RECORDS || bytes + record.size > MOST_BYTES) {
                portions += mutableListOf(name to record)
                bytes = record.size
            } else {
                last += name to record
                bytes += record.size
            }
        }
        return portions
    }

    private fun setAside(name: String, record: ByteArray, reason: String) {
        val place = File(folder, "refused")
        writeAtomically(File(place, name), record)
        writeAtomically(File(place, "$name.reason.txt"), "$reason\n".toByteArray())
        File(folder, name).delete()
    }

    private companion object {
        const val MOST_ROUNDS = 64
        const val MOST_RECORDS = 200
        const val MOST_BYTES = 256 shl 10
        const val ANSWERED = "answered"
        val NAME = Regex("[0-9]{10}\\.ecup")
    }
}
