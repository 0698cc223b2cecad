package ecct.edge

import java.io.File
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.ByteOrder

/**
 * A model file whose hash was checked, with what it says of itself.
 *
 * @property name its name in the manifest.
 * @property sha256 of its bytes, in hexadecimal.
 * @property metadata form, signatures and settings.
 */
public class ModelFile private constructor(
    public val name: String,
    public val sha256: String,
    public val metadata: EdgeMetadata,
    private val content: ByteArray,
    private val itemTokens: Vocabulary?,
    private val profileValues: List<Vocabulary?>,
) {
    /** What decides whether another file can take over its rows and weights. */
    internal val meaning: FileMeaning = FileMeaning.of(metadata, itemTokens, profileValues)

    /** Fingerprint of the tokens of the rows before [rows]. */
    internal fun fingerprintOf(rows: Int): String =
        FileMeaning.fingerprint(itemTokens?.values.orEmpty().take(maxOf(0, rows - 1)))

    /**
     * The row of an item; 0 for one that the file does not have.
     *
     * A file without item tokens was exported for an app that knows the rows: a token then is
     * the row as a decimal number.
     */
    public fun itemRow(token: String): Int =
        if (itemTokens != null) {
            itemTokens.row(token)
        } else {
            token.toIntOrNull()?.takeIf { it in 1 until metadata.itemRows } ?: 0
        }

    /** The token of an item, or null for row 0 and for one that does not exist. */
    public fun itemToken(row: Int): String? =
        if (itemTokens != null) itemTokens.value(row) else row.takeIf { it in 1 until metadata.itemRows }?.toString()

    /**
     * The rows of a profile, `[columns] int32`, in the order of the file.
     *
     * @param profile values by the name of the column; unknown and missing ones become 0. In a
     *   file without the values of a column, a value is the row as a decimal number.
     * @throws InputException when a column is none of the file's.
     */
    public fun profileRows(profile: Map<String, String>): IntArray {
        val columns = metadata.profile
        val unknown = profile.keys - columns.map { it.name }.toSet()
        if (unknown.isNotEmpty()) {
            throw InputException(
                "profile: expected columns out of ${columns.map { it.name }}, got $unknown; this model " +
                    "was trained without them",
            )
        }
        return IntArray(columns.size) { index ->
            code(index, profile[columns[index].name])
        }
    }

    /** The code of one value of the column [name]; 0 for one that the file does not have. */
    internal fun profileCode(name: String, value: String): Int =
        code(metadata.profile.indexOfFirst { it.name == name }, value)

    /** The values of a profile as the app gave them, by column; empty for unknown. */
    internal fun profileTexts(profile: Map<String, String>): List<String> =
        metadata.profile.mapIndexed { index, column ->
            val value = profile[column.name]?.takeIf { it.isNotBlank() }.orEmpty()
            val isRow = profileValues[index] == null && column.number == null
            if (isRow) code(index, value).takeIf { it != 0 }?.toString().orEmpty() else value
        }

    /** The values that a row of whole numbers stands for, as far as the file tells them. */
    internal fun rowTexts(row: IntArray): List<String> =
        metadata.profile.mapIndexed { index, column ->
            val values = profileValues[index]
            when {
                row[index] == 0 || column.number != null -> ""
                values != null -> values.value(row[index]).orEmpty()
                else -> row[index].toString()
            }
        }

    private fun code(index: Int, value: String?): Int {
        val column = metadata.profile[index]
        val values = profileValues[index]
        val rule = column.number
        return when {
            values != null -> values.row(value)
            rule != null -> rule.code(value?.takeIf { it.isNotBlank() }?.let { number(column.name, it) })
            else -> value?.toIntOrNull()?.takeIf { it in 1 until column.rows } ?: 0
        }
    }

    /** The value of a row of a private column, or null for row 0 and for one that does not exist. */
    internal fun profileValue(column: Int, row: Int): String? {
        val values = profileValues[column]
        if (values != null) return values.value(row)
        metadata.profile[column].number?.let { return it.number(row)?.toString() }
        return row.takeIf { it in 1 until metadata.profile[column].rows }?.toString()
    }

    private fun number(column: String, text: String): Double =
        text.trim().toDoubleOrNull()
            ?: throw InputException(
                "profile: expected a number in the column $column, or nothing where it is unknown, got $text",
            )

    /** The content for an interpreter: direct, native byte order, a copy of the checked bytes. */
    internal fun buffer(): ByteBuffer =
        ByteBuffer.allocateDirect(content.size).order(ByteOrder.nativeOrder()).apply {
            put(content)
            rewind()
        }

    public companion object {
        /** Name of the manifest that `ecct export` writes. */
        public const val MANIFEST: String = "manifest.json"

        /**
         * Reads a file and `manifest.json` beside it.
         *
         * @param codecs of the app, for a file whose run exchanges through one of them.
         * @throws ModelFileException when one cannot be read, or the hash differs.
         */
        public fun open(file: File, codecs: List<Codec> = emptyList()): ModelFile =
            try {
                val manifest = Manifest.parse(File(file.absoluteFile.parentFile, MANIFEST).readText())
                parse(file.name, file.readBytes(), manifest, codecs)
            } catch (error: IOException) {
                throw ModelFileException(
                    "$file: expected a model with $MANIFEST beside it: ${error.message}; copy both " +
                        "from the folder of `ecct export`",
                    error,
                )
            }

        /**
         * Checks the hash of [content], then reads its metadata and vocabularies.
         *
         * @param name its name in [manifest].
         * @param codecs of the app, for a file whose run exchanges through one of them.
         * @throws ModelFileException when the hash differs, the file is of another schema, or names a codec that there
         *   is not.
         * @throws CodecException when a codec of the app does not do what [Codec] says.
         */
        public fun parse(
            name: String,
            content: ByteArray,
            manifest: Manifest,
            codecs: List<Codec> = emptyList(),
        ): ModelFile {
            manifest.check(name, content)
            val files = associatedFiles(content)
            val metadata = EdgeMetadata.parse(files.text(EdgeMetadata.FILE), codecs)
            return ModelFile(
                name = name,
                metadata = metadata,
                sha256 = sha256(content).toHex(),
                content = content,
                itemTokens =
                    metadata.itemFile?.let { Vocabulary.parse(files.text(it), it, metadata.itemRows) },
                profileValues =
                    metadata.profile.map { column ->
                        column.file?.let { Vocabulary.parse(files.text(it), it, column.rows) }
                    },
            )
        }

        private fun Map<String, String>.text(name: String): String =
            this[name] ?: throw ModelFileException(
                "model: expected $name among the associated files, got $keys; it was not written by " +
                    "`ecct export`, or by another version of it",
            )
    }
}
