// WorkManager, as far as the library calls it; bodies are never run.
package androidx.work

import android.content.Context
import java.util.concurrent.TimeUnit

public class WorkerParameters

public class Data

public fun workDataOf(vararg pairs: Pair<String, Any?>): Data = Data()

public abstract class ListenableWorker(context: Context, parameters: WorkerParameters) {
    public val applicationContext: Context = context

    public abstract class Result {
        public companion object {
            @JvmStatic
            public fun success(): Result = throw UnsupportedOperationException()

            @JvmStatic
            public fun success(outputData: Data): Result = throw UnsupportedOperationException()

            @JvmStatic
            public fun failure(outputData: Data): Result = throw UnsupportedOperationException()

            @JvmStatic
            public fun retry(): Result = throw UnsupportedOperationException()
        }
    }
}

public abstract class CoroutineWorker(appContext: Context, params: WorkerParameters) :
    ListenableWorker(appContext, params) {
    public abstract suspend fun doWork(): Result
}

public enum class NetworkType { UNMETERED }

public enum class ExistingPeriodicWorkPolicy { UPDATE }

public class Constraints {
    public class Builder {
        public fun setRequiresCharging(requiresCharging: Boolean): Builder = this

        public fun setRequiresDeviceIdle(requiresDeviceIdle: Boolean): Builder = this

        public fun setRequiredNetworkType(networkType: NetworkType): Builder = this

        public fun build(): Constraints = Constraints()
    }
}

public class PeriodicWorkRequest {
    public class Builder(worker: Class<out ListenableWorker>, interval: Long, unit: TimeUnit) {
        public fun setConstraints(constraints: Constraints): Builder = this

        public fun build(): PeriodicWorkRequest = PeriodicWorkRequest()
    }
}

public abstract class WorkManager {
    public abstract fun enqueueUniquePeriodicWork(
        uniqueWorkName: String,
        existingPeriodicWorkPolicy: ExistingPeriodicWorkPolicy,
        request: PeriodicWorkRequest,
    ): Any

    public abstract fun cancelUniqueWork(uniqueWorkName: String): Any

    public companion object {
        @JvmStatic
        public fun getInstance(context: Context): WorkManager = throw UnsupportedOperationException()
    }
}
