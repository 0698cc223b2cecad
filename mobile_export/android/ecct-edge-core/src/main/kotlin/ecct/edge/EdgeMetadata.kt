package ecct.edge

/**
 * What a file says of itself, in `ecct_edge.json`.
 *
 * @property tier architecture of the edge model: `linear`, `mlp` or `attention`.
 * @property variant name of the kind of file, such as `trainable-int4`.
 * @property historyLength L, slots of a history.
 * @property signatures entry points by name.
 * @property weights P, trained values; [sharedWeights] of them, at the front, are a federated mean.
 * @property itemRows rows of the item table, row 0 (padding) included.
 * @property profile private columns in the order of the input `profile`.
 * @property exchange form of downlink and uplink.
 * @property layout SHA-256 of how the file lays out its weights and optimiser slots; files that
 *   share it can take each other's weights.
 * @property tableSha256 of the item table that the file holds, as the cloud publishes it.
 * @property training how the run trained, or null for a file that only infers.
 */
public class EdgeMetadata internal constructor(
    public val tier: String,
    public val variant: String,
    public val historyLength: Int,
    public val signatures: Map<String, Signature>,
    public val weights: Int,
    public val sharedWeights: Int,
    public val itemRows: Int,
    public val profile: List<ProfileColumn>,
    public val exchange: Exchange,
    public val layout: String,
    public val training: TrainingDefaults?,
    internal val itemFile: String?,
    public val tableSha256: String,
    // How grades, weights and further targets count in training.
    internal val outcomes: Outcomes,
    // All of it, for what only a file that takes over a device asks.
    internal val root: JsonObject,
) {
    /** Whether the file can be trained. */
    public val trainable: Boolean get() = training != null

    /** Whether the model reads the time, from the input `clock`. */
    public val readsClock: Boolean get() = signatures["score"]?.input("clock") != null

    /** The further targets, such as a like, that the model has logits of, in the order of its heads. */
    public val targets: List<String> get() = outcomes.targets.map { it.name }

    /** Columns of interactions whose values the app gives with them: grades, weights and targets are read from these. */
    public val contextColumns: List<String> get() = outcomes.columns.map { it.name }

    /** Whether devices judge what training gave them. */
    internal val guards: Boolean get() = (training?.guardPositions ?: 0) > 0

    /** S, values of a saved state, or null for a file that only infers. */
    public val stateSize: Int? get() = signatures["save"]?.outputs?.single()?.shape?.single()

    internal val trainingDefaults: TrainingDefaults
        get() =
            training ?: throw InputException(
                "train: expected a trainable file, this one is $variant; export a trainable variant",
            )

    internal fun signature(name: String): Signature =
        signatures[name] ?: throw InputException(
            "$name: expected a file with this signature, a $variant file has " +
                "${signatures.keys.sorted()}; export a trainable variant",
        )

    public companion object {
        /** The schema that this version reads. */
        public const val SCHEMA: String = "ecct-edge/1"

        /** Name of the metadata among the associated files. */
        public const val FILE: String = "ecct_edge.json"

        /**
         * Reads metadata.
         *
         * @param codecs of the app, one of which the file may name.
         * @throws ModelFileException when it is of another schema, not whole, or names a codec that there is not.
         * @throws CodecException when a codec of the app does not do what [Codec] says.
         */
        public fun parse(text: String, codecs: List<Codec> = emptyList()): EdgeMetadata =
            try {
                read(JsonObject.parse(text, FILE), Codecs(codecs))
            } catch (error: JsonException) {
                throw ModelFileException(
                    "the metadata of the model is damaged: ${error.message}; export it again",
                    error,
                )
            }

        private fun read(root: JsonObject, codecs: Codecs): EdgeMetadata {
            val schema = root.text("schema")
            if (schema != SCHEMA) {
                throw ModelFileException(
                    "$FILE: expected schema $SCHEMA, got $schema; use a version of the library and " +
                        "of `ecct export` that belong together",
                )
            }
            if ("features" in root.names && "context" in root.child("features").names) {
                throw ModelFileException(
                    "$FILE: the model reads a context of requests (features.context), which this version " +
                        "of the library does not make; export a run without it, or use the device in Python",
                )
            }
            if (root.children("profile").any { it.has("set") }) {
                throw ModelFileException(
                    "$FILE: the model reads private columns of several values (profile, set), which this " +
                        "version of the library does not make; export a model without them, or use the device in " +
                        "Python",
                )
            }
            if (root.child("items").has("held")) {
                throw ModelFileException(
                    "$FILE: the model takes rows of items (exchange.items=candidates), which this version of the " +
                        "library does not hold; export a run with exchange.items=table, or use the device in Python",
                )
            }
            val variant = root.child("variant")
            val weights = root.child("weights")
            val items = root.child("items")
            val signatures = root.child("signatures")
            return EdgeMetadata(
                tier = root.text("tier"),
                variant = variant.text("name"),
                historyLength = root.child("model").count("history_length"),
                signatures = signatures.names.associateWith { signature(it, signatures.child(it)) },
                weights = weights.count("size"),
                sharedWeights = weights.count("shared"),
                itemRows = items.count("rows"),
                profile = root.children("profile").map(::column),
                exchange = exchange(root.child("exchange"), codecs),
                layout = layout(root),
                training = if (variant.flag("trainable")) training(root) else null,
                itemFile = items.textOrNull("file"),
                tableSha256 = items.text("table_sha256"),
                outcomes = Outcomes.of(if (root.has("samples")) root.child("samples") else null),
                root = root,
            )
        }

        // As `mobile_export.runtime.loaded_file` computes it, so that the Python device agrees.
        private fun layout(root: JsonObject): String {
            val parts =
                listOf(
                    root.text("tier"),
                    root.value("weights"),
                    root.child("variant").flag("adapters"),
                    root.child("training").text("optimizer"),
                )
            return sha256(jsonText(parts).toByteArray(Charsets.UTF_8)).toHex()
        }

        private fun signature(name: String, from: JsonObject) =
            Signature(name, from.children("inputs").map(::port), from.children("outputs").map(::port))

        private fun port(from: JsonObject): Port {
            val dtype = from.text("dtype")
            val type =
                TensorType.entries.find { it.name.lowercase() == dtype }
                    ?: throw JsonException("expected float32, int32 or int8, got dtype $dtype")
            return Port(from.text("name"), type, from.shape("shape"))
        }

        internal fun column(from: JsonObject): ProfileColumn =
            ProfileColumn(
                from.text("name"),
                from.count("rows"),
                from.textOrNull("file"),
                if (from.has("number")) number(from.child("number")) else null,
            )

        private fun number(from: JsonObject): NumberRule {
            val scale = from.number("scale")
            if (scale <= 0.0) throw JsonException("scale: expected a number above 0, got $scale")
            return NumberRule(
                logarithm = from.flag("log"),
                mean = from.number("mean"),
                scale = scale,
                largest = from.number("largest"),
                steps = from.atLeastOne("steps"),
            )
        }

        private fun exchange(from: JsonObject, codecs: Codecs): Exchange =
            Exchange(
                cloudDim = from.count("cloud_dim"),
                embeddingDim = from.count("embedding_dim"),
                queries = from.count("num_queries"),
                codec = codecs.named(from.text("codec")),
                withLogits = from.flag("with_logits"),
                noiseMultiplier = from.number("noise_multiplier"),
            )

        private fun training(root: JsonObject): TrainingDefaults {
            val from = root.child("training")
            val samples = if (root.has("samples")) root.child("samples") else null
            return TrainingDefaults(
                learningRate = from.rate("learning_rate"),
                privateLearningRate = from.rate("private_learning_rate"),
                batchSize = from.atLeastOne("batch_size"),
                epochs = from.atLeastOne("epochs"),
                // What devices drew before files told it.
                negatives = samples?.atLeastOne("negatives") ?: 9,
                positions = samples?.atLeastOne("max_positions") ?: 128,
                groupSize = if (from.has("group_size")) from.atLeastOne("group_size") else 1,
                halfLife = samples?.let { if (it.has("half_life")) it.count("half_life") else 0 } ?: 0,
                guardPositions = samples?.let { if (it.has("guard_positions")) it.count("guard_positions") else 0 } ?: 0,
            )
        }

        private fun JsonObject.atLeastOne(name: String): Int =
            count(name).also { if (it < 1) throw JsonException("$name: expected a whole number from 1, got $it") }

        private fun JsonObject.rate(name: String): Float {
            val rate = number(name)
            if (rate !in 0.0..1.0) throw JsonException("$name: expected a number in 0..1, got $rate")
            return rate.toFloat()
        }
    }
}

/**
 * A private column; [rows] counts row 0, unknown.
 *
 * @property number how its numbers are read, or null for a column of categories.
 */
public class ProfileColumn internal constructor(
    public val name: String,
    public val rows: Int,
    internal val file: String?,
    public val number: NumberRule?,
)

/**
 * How devices of the run trained.
 *
 * @property learningRate of the shared weights.
 * @property privateLearningRate of the weights that stay on the device.
 * @property batchSize samples of a step.
 * @property epochs passes over the samples.
 * @property negatives items drawn for each position.
 * @property positions the newest positions that were trained on.
 * @property groupSize samples of a batch that belong together: all of a position, where the loss
 *   reads them so, or 1.
 * @property guardPositions the newest positions, at most half of them, that a device does not train
 *   on: by them it judges whether to rank with what training gave it or with its start; 0 for no guard.
 * @property halfLife newer positions behind which one weighs half in the loss; 0 weighs all alike.
 */
public data class TrainingDefaults(
    public val learningRate: Float,
    public val privateLearningRate: Float,
    public val batchSize: Int,
    public val epochs: Int,
    public val negatives: Int,
    public val positions: Int,
    public val groupSize: Int,
    public val guardPositions: Int,
    public val halfLife: Int,
)
