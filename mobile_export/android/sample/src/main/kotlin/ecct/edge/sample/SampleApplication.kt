package ecct.edge.sample

import android.app.Application
import ecct.edge.TrainingReport
import ecct.edge.android.EdgeDevice
import ecct.edge.android.EdgeTraining
import ecct.edge.android.EdgeTrainingHost
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock

/** Holds the one device of the process, for the screen and the worker. */
class SampleApplication : Application(), EdgeTrainingHost {
    private val opening = Mutex()
    private var opened: EdgeDevice? = null

    override fun onCreate() {
        super.onCreate()
        EdgeTraining.schedule(this)
    }

    override suspend fun edgeDevice(): EdgeDevice =
        opening.withLock { opened ?: EdgeDevice.open(this, USER, adopt = true).also { opened = it } }

    override suspend fun onTrained(device: EdgeDevice, report: TrainingReport) {
        // An app sends device.uplinkRecord() here, and fetches a downlink.
    }

    companion object {
        /** The id that the cloud knows the user by; an app gets it when the user signs in. */
        const val USER = 1
    }
}
