package ecct.edge

import java.io.File
import java.io.FileOutputStream
import java.io.IOException

/**
 * The file that keeps a device's state in the app's private storage.
 *
 * It is replaced as a whole: a kill at any moment leaves the old state or the new one. Of two openers
 * the later one is refused, instead of writing over what the other learned.
 *
 * @property file its place; the folder is made when it is missing.
 */
public class StateFile(public val file: File) {
    private val draft = File(file.absoluteFile.parentFile, ".${file.name}.part")

    /** A state as it was read or written, and what proves that the file still holds it. */
    internal class Kept(val state: DeviceState, val proof: ByteArray)

    /**
     * The kept state, or null when there is none yet. A draft that a kill left is ignored.
     *
     * @throws StateFileException when it is damaged.
     */
    internal fun read(): Kept? {
        if (!file.exists()) return null
        val content = onDisk("read") { file.readBytes() }
        return Kept(DeviceState.decode(content, file.path), proof(content))
    }

    /**
     * Takes [state] in the place of [replaced], on the disk before this returns.
     *
     * @param replaced what the caller read or wrote last; null where there was none.
     * @throws StateFileException when another opener changed the file since.
     */
    internal fun write(state: DeviceState, replaced: Kept?): Kept {
        val content = state.encode()
        onDisk("written") {
            draft.absoluteFile.parentFile?.mkdirs()
            alone {
                val found = if (file.exists()) proof(file.readBytes()) else null
                if (!(found contentEquals replaced?.proof)) {
                    throw StateFileException(
                        "$file: expected the state that was read here, another opener changed it since; what " +
                            "was done since then is not kept. Open the device again, and keep one opener",
                    )
                }
                FileOutputStream(draft).use {
                    it.write(content)
                    it.fd.sync()
                }
                // On Android and Linux this is rename(2), which replaces atomically.
                if (!draft.renameTo(file)) throw IOException("${draft.path} could not be renamed")
            }
        }
        return Kept(state, proof(content))
    }

    /** Runs [block] while no other thread of this process, nor another process, writes the folder. */
    private fun <T> alone(block: () -> T): T =
        synchronized(StateFile::class.java) {
            FileOutputStream(File(draft.parentFile, LOCK)).use { lock ->
                lock.channel.lock().use { block() }
            }
        }

    /** Forgets the state: the device begins anew with the weights of the model file. */
    public fun delete() {
        onDisk("deleted") {
            draft.delete()
            if (file.exists() && !file.delete()) throw IOException("the file could not be deleted")
        }
    }

    private inline fun <T> onDisk(done: String, block: () -> T): T =
        try {
            block()
        } catch (error: IOException) {
            throw StateFileException(
                "$file: expected a file that can be $done: ${error.message}; is the app's storage full?",
                error,
            )
        }

    private companion object {
        const val LOCK = ".states.lock"

        /** The SHA-256 that a state ends with. */
        fun proof(content: ByteArray): ByteArray =
            content.copyOfRange(maxOf(0, content.size - Sealed.DIGEST_BYTES), content.size)
    }
}
