package ecct.edge

import java.io.File

/**
 * What a call of [takePart] did.
 *
 * @property round that the cloud asks in.
 * @property training null where the device had taken part in that round already, or needs [newModel] first.
 * @property sent what became of answers, those that had waited among them; null where the cloud could not
 *   be reached any more: they wait.
 * @property newModel the file of the device's name with the published item table, where the device holds
 *   another table: open it with `adopt = true`, and call again. Null otherwise.
 */
public class RoundReport(
    public val round: Int,
    public val training: TrainingReport?,
    public val sent: OutboxReport?,
    public val newModel: File?,
)

private const val MOST_PUBLICATIONS = 3

/**
 * A device's round with the cloud: fetch, take part, answer. A kill at any point loses nothing.
 *
 * It takes part in each round once. Where a kill came between training and the answer, the next call
 * answers from the trained state, without training again. It blocks; the device is not locked while
 * it waits for the network.
 *
 * @param nowSeconds for the answers, since 1970, UTC.
 * @param keepGoing asked before each step of the training; false ends it early, and answers.
 * @throws TransportException when the cloud cannot be reached before the device has taken part.
 * @throws TokenRefusedException when the token is not valid; an answer that was made waits.
 */
public fun takePart(
    device: EdgeRecommender,
    client: CloudClient,
    outbox: Outbox,
    options: TrainingOptions = TrainingOptions(),
    nowSeconds: () -> Long = { System.currentTimeMillis() / 1000 },
    keepGoing: () -> Boolean = { true },
): RoundReport {
    repeat(MOST_PUBLICATIONS - 1) {
        try {
            return once(device, client, outbox, options, nowSeconds, keepGoing)
        } catch (error: StalePublicationException) {
            // The cloud published between two requests.
        }
    }
    return once(device, client, outbox, options, nowSeconds, keepGoing)
}

private fun once(
    device: EdgeRecommender,
    client: CloudClient,
    outbox: Outbox,
    options: TrainingOptions,
    nowSeconds: () -> Long,
    keepGoing: () -> Boolean,
): RoundReport {
    val publication = client.current()
    val asked = publication.round
    if (publication.tableSha256 != device.model.metadata.tableSha256) {
        val sent = send(outbox, client)
        return RoundReport(asked, training = null, sent, newModel = client.model(device.model.name))
    }
    val known = device.state.downlink
    val took = known != null && known.round >= asked && known.cloudVersion > 0
    val exchange = device.model.metadata.exchange
    val training =
        if (took) null else device.takePart(client.downlink(publication, exchange), options, keepGoing)
    val answers = device.state.downlink?.queries?.isNotEmpty() == true
    if (answers && (!took || (outbox.answeredRound ?: -1) < asked)) outbox.add(device.uplinkRecord(nowSeconds()))
    return RoundReport(asked, training, send(outbox, client), newModel = null)
}

/** What became of what waits; null where the cloud cannot be reached: the next call sends it. */
private fun send(outbox: Outbox, client: CloudClient): OutboxReport? =
    try {
        outbox.send(client)
    } catch (error: UnreachableException) {
        null
    }
