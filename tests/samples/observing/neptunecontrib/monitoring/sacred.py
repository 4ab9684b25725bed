from sacred.observers import RunObserver


class NeptuneObserver(RunObserver):
    """Stands in for another package's observer: it keeps what it was told, and tells nobody."""

    def __init__(self, api_token, project_name):
        self.project_name = project_name

    def started_event(self, ex_info, command, host_info, start_time, config, meta_info, _id):
        print(self.project_name, "has", ex_info["name"], config["message"])

    def completed_event(self, stop_time, result):
        print(self.project_name, "is done")
