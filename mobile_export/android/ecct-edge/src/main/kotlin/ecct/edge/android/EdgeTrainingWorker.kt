package ecct.edge.android

import android.content.Context
import androidx.work.CoroutineWorker
import androidx.work.WorkerParameters
import androidx.work.workDataOf
import ecct.edge.EdgeException
import ecct.edge.InputException
import ecct.edge.TrainingReport
import ecct.edge.UnreachableException
import java.io.IOException

/**
 * What the app's `Application` implements so that [EdgeTrainingWorker] finds its device and
 * can answer the cloud.
 */
public interface EdgeTrainingHost {
    /** The one device of the process. */
    public suspend fun edgeDevice(): EdgeDevice

    /**
     * What the worker does: it trains, and calls [onTrained]. An app that talks to `ecct cloud serve` takes
     * part in the cloud's round instead: `device.takePart(client, outbox)`.
     *
     * @throws ecct.edge.UnreachableException when the network failed; the work is then tried again later.
     */
    public suspend fun work(device: EdgeDevice): Unit = onTrained(device, device.train())

    /**
     * Called after training; the place to send [EdgeDevice.uplinkRecord] and fetch a downlink.
     *
     * @throws IOException when the network failed; the work is then tried again later.
     */
    public suspend fun onTrained(device: EdgeDevice, report: TrainingReport): Unit = Unit
}

/** Trains while the phone charges, idle, on an unmetered network; see [EdgeTraining]. */
public class EdgeTrainingWorker(
    context: Context,
    parameters: WorkerParameters,
) : CoroutineWorker(context, parameters) {
    override suspend fun doWork(): Result {
        val host = applicationContext as? EdgeTrainingHost ?: return failure(NO_HOST)
        return try {
            host.work(host.edgeDevice())
            Result.success()
        } catch (error: InputException) {
            // A history of all items, or a file that does not train: no failure, and said.
            Result.success(workDataOf(MESSAGE to error.message))
        } catch (error: UnreachableException) {
            // Answers wait in the outbox; WorkManager asks again, at longer and longer intervals.
            Result.retry()
        } catch (error: EdgeException) {
            failure(error.message ?: error.toString())
        } catch (error: IOException) {
            Result.retry()
        }
    }

    private fun failure(message: String): Result = Result.failure(workDataOf(MESSAGE to message))

    public companion object {
        /** Key of the output that says why nothing was trained. */
        public const val MESSAGE: String = "message"

        private const val NO_HOST =
            "expected the app's Application to implement EdgeTrainingHost, it does not; implement it, and " +
                "name the Application in AndroidManifest.xml"
    }
}
