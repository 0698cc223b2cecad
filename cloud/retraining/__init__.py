"""The retraining job: from history and uplinks to the next version of the cloud."""

from cloud.retraining.config import JobConfig, load_job_config
from cloud.retraining.gate import JobResult
from cloud.retraining.job import retrain

__all__ = ["JobConfig", "JobResult", "load_job_config", "retrain"]
