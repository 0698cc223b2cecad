package ecct.edge

import java.io.File
import java.io.FileOutputStream
import java.io.IOException

/**
 * Puts [content] into the place of [file], on the disk before this returns: a kill leaves the old or the new.
 *
 * @throws IOException when it cannot be written.
 */
internal fun writeAtomically(file: File, content: ByteArray) {
    val draft = File(file.absoluteFile.parentFile, ".${file.name}.part")
    draft.parentFile.mkdirs()
    FileOutputStream(draft).use {
        it.write(content)
        it.fd.sync()
    }
    // On Android and Linux this is rename(2), which replaces atomically.
    if (!draft.renameTo(file)) throw IOException("$draft could not be renamed")
}
