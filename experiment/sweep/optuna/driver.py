"""Optuna behind ctrx's ask/tell protocol (docs/ask-tell.md): JSON lines on
standard input and output, one answer for each request."""

import inspect
import json
import sys
import warnings

VERSION = 1


class Refused(Exception):
    """What was asked cannot be done; the text is for the user."""


class Optimiser:
    def __init__(self, hello):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        self.optuna = optuna
        self.space = {axis["name"]: self.distribution(axis) for axis in hello["space"]}
        history = hello.get("history", [])
        name = hello.get("options", {}).get("sampler", "TPESampler")
        # After a resume the random numbers must not begin anew.
        sampler = self.sampler(name, (hello["seed"] + len(history)) % 2**32, hello.get("parallel", 1))
        self.study = optuna.create_study(direction=hello["direction"], sampler=sampler)
        self.numbers = {}  # trial of the sweep -> number in the study
        for past in history:
            self.remember(past)
        self.name = f"Optuna {optuna.__version__}, {name}"

    def distribution(self, axis):
        d = self.optuna.distributions
        try:
            if axis["type"] == "categorical":
                return d.CategoricalDistribution(axis["choices"])
            if axis["type"] == "int":
                return d.IntDistribution(axis["low"], axis["high"], log=axis.get("log", False), step=axis.get("step", 1))
            if axis["type"] == "float":
                return d.FloatDistribution(axis["low"], axis["high"], log=axis.get("log", False), step=axis.get("step"))
        except ValueError as e:
            raise Refused(f"{axis['name']}: {e}")
        raise Refused(f"{axis['name']}: a parameter of the type {axis['type']} is not known")

    def sampler(self, name, seed, parallel):
        base = self.optuna.samplers.BaseSampler
        known = {}
        for n in dir(self.optuna.samplers):
            cls = getattr(self.optuna.samplers, n)
            if inspect.isclass(cls) and issubclass(cls, base) and not n.startswith("Base"):
                known[n] = cls
        if name not in known:
            raise Refused(f"Optuna has no sampler {name}; there are {', '.join(sorted(known))}")
        accepted = inspect.signature(known[name]).parameters
        options = {}
        if "seed" in accepted:
            options["seed"] = seed
        if "constant_liar" in accepted and parallel > 1:
            options["constant_liar"] = True  # keeps trials that run at one time apart
        try:
            return known[name](**options)
        except (TypeError, ValueError) as e:
            raise Refused(f"{name} cannot be used here: {e}")

    def remember(self, past):
        state = self.optuna.trial.TrialState
        trial = {"params": past["values"], "distributions": {n: self.space[n] for n in past["values"]}}
        if "value" in past:
            trial.update(state=state.COMPLETE, value=past["value"])
        elif "failed" in past:
            trial.update(state=state.FAIL)
        else:
            trial.update(state=state.RUNNING)
        self.study.add_trial(self.optuna.trial.create_trial(**trial))
        self.numbers[past["trial"]] = len(self.study.get_trials(deepcopy=False)) - 1

    def ask(self, request):
        trial = self.study.ask(self.space)
        self.numbers[request["trial"]] = trial.number
        return {"trial": request["trial"], "values": trial.params}

    def tell(self, request):
        number = self.numbers[request["trial"]]
        if "value" in request:
            self.study.tell(number, request["value"])
        else:
            self.study.tell(number, state=self.optuna.trial.TrialState.FAIL)
        return {"trial": request["trial"]}


def main():
    answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    optimiser = None
    for line in iter(sys.stdin.readline, ""):
        request = json.loads(line)
        try:
            if request["op"] == "hello":
                optimiser = Optimiser(request)
                answer = {"version": VERSION, "name": optimiser.name}
            elif request["op"] == "ask":
                answer = optimiser.ask(request)
            elif request["op"] == "tell":
                answer = optimiser.tell(request)
            else:  # bye
                return
        except Refused as e:
            answer = {"error": str(e)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


main()
