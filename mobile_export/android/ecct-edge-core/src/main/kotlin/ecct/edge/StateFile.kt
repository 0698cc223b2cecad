package ecct.edge

import java.io.File
import java.io.FileOutputStream
import java.io.IOException

/**
 * The file that keeps a device's state in the app's private storage.
 *
 * It is replaced as a whole: a kill at any moment leaves the old state or the new one.
 *
 * @property file its place; the folder is made when it is missing.
 */
public class StateFile(public val file: File) {
    private val draft = File(file.absoluteFile.parentFile, ".${file.name}.part")

    /**
     * The kept state, or null when there is none yet. A draft that a kill left is ignored.
     *
     * @throws StateFileException when it is damaged.
     */
    internal fun read(): DeviceState? {
        if (!file.exists()) return null
        return DeviceState.decode(onDisk("read") { file.readBytes() }, file.path)
    }

    /** Takes [state] in the place of the kept one, on the disk before this returns. */
    internal fun write(state: DeviceState) {
        onDisk("written") {
            draft.parentFile?.mkdirs()
            FileOutputStream(draft).use {
                it.write(state.encode())
                it.fd.sync()
            }
            // On Android and Linux this is rename(2), which replaces atomically.
            if (!draft.renameTo(file)) throw IOException("${draft.path} could not be renamed")
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
}
