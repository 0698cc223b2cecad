package ecct.edge.android

import android.content.Context
import androidx.work.Constraints
import androidx.work.ExistingPeriodicWorkPolicy
import androidx.work.NetworkType
import androidx.work.PeriodicWorkRequest
import androidx.work.WorkManager
import java.util.concurrent.TimeUnit

/** The app's regular training. */
public object EdgeTraining {
    private const val NAME = "ecct-edge-training"

    /**
     * Lets [EdgeTrainingWorker] run about every [hours] hours, when the phone charges, is idle
     * and has an unmetered network. Calling it again changes nothing but the period.
     */
    public fun schedule(context: Context, hours: Long = 24) {
        val constraints =
            Constraints
                .Builder()
                .setRequiresCharging(true)
                .setRequiresDeviceIdle(true)
                .setRequiredNetworkType(NetworkType.UNMETERED)
                .build()
        // No backoff criteria: WorkManager refuses them for work that waits for an idle phone.
        val request =
            PeriodicWorkRequest
                .Builder(EdgeTrainingWorker::class.java, hours, TimeUnit.HOURS)
                .setConstraints(constraints)
                .build()
        WorkManager
            .getInstance(context)
            .enqueueUniquePeriodicWork(NAME, ExistingPeriodicWorkPolicy.UPDATE, request)
    }

    /** Ends it. */
    public fun cancel(context: Context) {
        WorkManager.getInstance(context).cancelUniqueWork(NAME)
    }
}
