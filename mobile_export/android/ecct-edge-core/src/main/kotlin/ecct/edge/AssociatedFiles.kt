package ecct.edge

import java.io.ByteArrayInputStream
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.ZipException
import java.util.zip.ZipInputStream

/**
 * The texts in the zip at the end of a `.tflite` file, by name.
 *
 * Read from the very bytes whose hash was checked, not from the file again.
 *
 * @throws ModelFileException when there is no zip, or it is damaged.
 */
internal fun associatedFiles(content: ByteArray): Map<String, String> {
    val found = LinkedHashMap<String, String>()
    try {
        val (start, entries) = zipPlace(content)
        ZipInputStream(ByteArrayInputStream(content, start, content.size - start)).use { zip ->
            while (true) {
                val entry = zip.nextEntry ?: break
                found[entry.name] = zip.readBytes().toString(Charsets.UTF_8)
            }
        }
        if (found.size != entries) throw ZipException("$entries files announced, ${found.size} found")
    } catch (error: IOException) {
        throw ModelFileException(
            "model: expected associated files as a zip at the end of ${content.size} bytes: " +
                "${error.message}; fetch or export the file again",
            error,
        )
    }
    return found
}

private const val END_SIGNATURE = 0x06054b50
private const val DIRECTORY_SIGNATURE = 0x02014b50
private const val END_BYTES = 22
private const val DIRECTORY_ENTRY_BYTES = 46
private const val LARGEST_COMMENT = 0xFFFF

/** Where the zip's first file begins, and how many files it has, from its end record. */
private fun zipPlace(content: ByteArray): Pair<Int, Int> {
    val bytes = ByteBuffer.wrap(content).order(ByteOrder.LITTLE_ENDIAN)
    val last = content.size - END_BYTES
    val end =
        (last downTo maxOf(0, last - LARGEST_COMMENT)).firstOrNull {
            // What follows is the comment, whole: otherwise the file was cut, or has a tail.
            bytes.getInt(it) == END_SIGNATURE && (bytes.getShort(it + 20).toInt() and 0xFFFF) == last - it
        } ?: throw ZipException("no end record")
    val entries = bytes.getShort(end + 10).toInt() and 0xFFFF
    val directory = bytes.getInt(end + 16)
    if (entries == 0) throw ZipException("an empty zip")
    if (directory < 0 || directory > end - DIRECTORY_ENTRY_BYTES ||
        bytes.getInt(directory) != DIRECTORY_SIGNATURE
    ) {
        throw ZipException("no directory at byte $directory")
    }
    val start = bytes.getInt(directory + 42)
    if (start !in 0 until directory) throw ZipException("no file at byte $start")
    return start to entries
}
