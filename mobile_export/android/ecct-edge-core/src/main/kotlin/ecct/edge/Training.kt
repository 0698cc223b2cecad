package ecct.edge

/**
 * How to train in one call. What is null is as the run trained, from the file's metadata.
 *
 * @property epochs passes over the samples.
 * @property batchSize samples of a step; at most the rows of a static file. Whole positions of it, at
 *   least one, where the loss reads positions.
 * @property learningRate of the shared weights, at most 1.
 * @property privateLearningRate of the weights that stay on the device, at most 1.
 * @property negatives items drawn for each position, which the user never touched.
 * @property positions the newest positions that are trained on.
 * @property seed fixes negatives and order; null for one that follows from user and round.
 */
public data class TrainingOptions(
    public val epochs: Int? = null,
    public val batchSize: Int? = null,
    public val learningRate: Float? = null,
    public val privateLearningRate: Float? = null,
    public val negatives: Int? = null,
    public val positions: Int? = null,
    public val seed: Long? = null,
) {
    init {
        val counts =
            listOf("epochs" to epochs, "batchSize" to batchSize, "negatives" to negatives, "positions" to positions)
        for ((name, value) in counts) {
            if (value != null && value < 1) throw InputException("train: expected $name of at least 1, got $value")
        }
        for ((name, value) in listOf("learningRate" to learningRate, "privateLearningRate" to privateLearningRate)) {
            if (value != null && value !in 0f..1f) {
                throw InputException("train: expected $name in 0..1, got $value")
            }
        }
    }
}

/**
 * What a call of `train` did.
 *
 * @property samples it trained on, negatives included.
 * @property applied steps that changed weights.
 * @property refused steps that the graph refused because the gradient exploded.
 * @property firstLoss mean loss of the first epoch, each sample before its step; NaN when it was
 *   stopped before the first, 0 without samples.
 * @property lastLoss the same of the last epoch.
 * @property completed false when it was asked to stop before the end; what was done is kept.
 * @property targetLosses mean loss of each further target in the last epoch, by its name, before its weight in the sum.
 */
public data class TrainingReport(
    public val samples: Int,
    public val applied: Int,
    public val refused: Int,
    public val firstLoss: Float,
    public val lastLoss: Float,
    public val completed: Boolean,
    public val targetLosses: Map<String, Float> = emptyMap(),
)

/** Runs the steps of one call on [runner]: `reset_optimizer`, then the batches of each epoch. */
internal class TrainingLoop(
    private val runner: SignatureRunner,
    private val metadata: EdgeMetadata,
    private val options: TrainingOptions,
) {
    private val defaults = metadata.trainingDefaults

    /** In whole positions, where the loss reads them so. */
    private val batchSize =
        defaults.groupSize.let { group -> maxOf(1, (options.batchSize ?: defaults.batchSize) / group) * group }

    /** Rows of a call, always the same: a dynamic file is not resized for the last batch. */
    private val rows =
        metadata.signature("train").input("labels")?.shape?.single().let { fixed ->
            if (fixed != null && batchSize > fixed) {
                throw InputException(
                    "train: expected batches of at most $fixed, the rows of this static file, got $batchSize; " +
                        "export with --static $batchSize,C or take a smaller batchSize",
                )
            }
            fixed ?: batchSize
        }

    /**
     * Trains.
     *
     * @param user profile and downlink, as the signature reads them.
     * @param keepGoing asked before each step.
     */
    fun run(samples: Samples, user: Map<String, Any>, keepGoing: () -> Boolean): TrainingReport {
        runner.read("reset_optimizer")
        val rates =
            mapOf(
                "learning_rate" to floatArrayOf(options.learningRate ?: defaults.learningRate),
                "private_learning_rate" to
                    floatArrayOf(options.privateLearningRate ?: defaults.privateLearningRate),
            )
        val losses = ArrayList<Float>()
        var ofTargets = emptyMap<String, Float>()
        var applied = 0
        var refused = 0
        for (epoch in 0 until (options.epochs ?: defaults.epochs)) {
            var sum = 0.0
            val sums = DoubleArray(metadata.targets.size)
            var seen = 0
            for (start in 0 until samples.size step batchSize) {
                if (!keepGoing()) {
                    if (seen > 0) losses += (sum / seen).toFloat()
                    if (seen > 0) ofTargets = means(sums, seen)
                    return report(samples, applied, refused, losses, ofTargets, completed = false)
                }
                val outputs = runner.run("train", samples.batch(start, batchSize, rows) + user + rates, rows)
                val loss = outputs.single("loss")
                if (!loss.isFinite()) {
                    throw RefusedException("train: expected a finite loss, got $loss; the weights are as before")
                }
                if (outputs.single("applied") == 1f) applied++ else refused++
                val used = minOf(batchSize, samples.size - start)
                sum += loss.toDouble() * used
                if (sums.isNotEmpty()) {
                    outputs.floats("target_losses").forEachIndexed { place, each -> sums[place] += each.toDouble() * used }
                }
                seen += used
            }
            losses += (sum / seen).toFloat()
            ofTargets = means(sums, seen)
        }
        return report(samples, applied, refused, losses, ofTargets, completed = true)
    }

    private fun means(sums: DoubleArray, seen: Int): Map<String, Float> =
        metadata.targets.indices.associate { metadata.targets[it] to (sums[it] / seen).toFloat() }

    private fun report(
        samples: Samples,
        applied: Int,
        refused: Int,
        losses: List<Float>,
        ofTargets: Map<String, Float>,
        completed: Boolean,
    ) =
        TrainingReport(
            samples = samples.size,
            applied = applied,
            refused = refused,
            firstLoss = losses.firstOrNull() ?: Float.NaN,
            lastLoss = losses.lastOrNull() ?: Float.NaN,
            completed = completed,
            targetLosses = ofTargets,
        )
}
