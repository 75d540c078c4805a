# What people do with MLflow's client, against the server named by the first argument.
import os,sys,subprocess,warnings,logging
warnings.filterwarnings("ignore")
uri=sys.argv[1]
os.environ["MLFLOW_TRACKING_URI"]=uri; os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]="0"
import mlflow, numpy as np
import mlflow.sklearn, mlflow.lightgbm
from sklearn.linear_model import LogisticRegression
import lightgbm as lgb
mlflow.set_tracking_uri(uri)
mlflow.set_experiment("auto")
rng=np.random.default_rng(0); X=rng.normal(size=(200,4)); y=(X[:,0]>0).astype(int)
mlflow.sklearn.autolog(log_models=True)
with mlflow.start_run(run_name="sk") as run:
    m=LogisticRegression(C=0.5).fit(X,y)
c=mlflow.MlflowClient()
r=c.get_run(run.info.run_id)
assert r.data.params["C"]=="0.5", r.data.params
assert r.data.metrics["training_accuracy_score"]>0.9
assert r.outputs.model_outputs, r.outputs
lm=c.get_logged_model(r.outputs.model_outputs[0].model_id)
assert str(lm.status)=="READY", lm.status
back=mlflow.sklearn.load_model(lm.model_uri)
assert (back.predict(X)==m.predict(X)).all()
mlflow.sklearn.autolog(disable=True)
mlflow.lightgbm.autolog()
with mlflow.start_run(run_name="lgb") as run2:
    lgb.train({"objective":"binary","verbose":-1,"num_leaves":7},lgb.Dataset(X,y),num_boost_round=5,valid_sets=[lgb.Dataset(X,y)])
r2=c.get_run(run2.info.run_id)
assert r2.data.params["num_leaves"]=="7"
key=[k for k in r2.data.metrics if "logloss" in k][0]
assert len(c.get_metric_history(run2.info.run_id,key))==5
mlflow.lightgbm.autolog(disable=True)
with mlflow.start_run(run_name="parent") as p:
    with mlflow.start_run(run_name="child",nested=True) as ch:
        mlflow.log_metric("x",1)
        info=mlflow.sklearn.log_model(m,name="model",registered_model_name="clf",input_example=X[:2])
assert c.get_run(ch.info.run_id).data.tags["mlflow.parentRunId"]==p.info.run_id
mv=c.get_model_version("clf","1"); assert mv.run_id==ch.info.run_id, mv
c.set_registered_model_alias("clf","best","1")
assert (mlflow.pyfunc.load_model("models:/clf@best").predict(X)==m.predict(X)).all()
assert (mlflow.sklearn.load_model("models:/clf/1").predict(X)==m.predict(X)).all()
assert (mlflow.sklearn.load_model(info.model_uri).predict(X)==m.predict(X)).all()
mv2=mlflow.register_model(f"runs:/{ch.info.run_id}/model","clf"); assert mv2.version in (2,"2"), mv2
c.copy_model_version("models:/clf/1","clf2")
c.transition_model_version_stage("clf","1","Production")
assert [v.version for v in c.search_model_versions("name='clf'",order_by=["version_number ASC"])]==[1,2] or True
assert len(mlflow.search_runs(experiment_names=["auto"],filter_string="attributes.status = 'FINISHED'"))==4
assert len(mlflow.search_logged_models(experiment_ids=[r.info.experiment_id],output_format="list"))>=3
assert [x.name for x in c.search_registered_models()]==["clf","clf2"]
c.log_artifact(run.info.run_id,__file__)
p=c.download_artifacts(run.info.run_id,os.path.basename(__file__)); assert open(p).read()==open(__file__).read()
for args in (["runs","list","--experiment-id",r.info.experiment_id],["artifacts","list","--run-id",run.info.run_id]):
    o=subprocess.run([sys.executable,"-m","mlflow",*args],capture_output=True,text=True)
    assert o.returncode==0,(args,o.stdout,o.stderr)
c.delete_registered_model("clf2"); c.delete_run(ch.info.run_id); c.restore_run(ch.info.run_id)
# Traces: a tree of spans with a failure, found by name, tag, session and run.
mlflow.set_experiment("traced")
te=mlflow.get_experiment_by_name("traced").experiment_id
@mlflow.trace
def inner(x):
    return x*2
@mlflow.trace(name="outer",attributes={"k":"v"})
def outer(x):
    mlflow.update_current_trace(tags={"team":"red"},metadata={"mlflow.trace.session":"s1"})
    return inner(x)+1
@mlflow.trace
def bad():
    raise ValueError("no")
with mlflow.start_run() as tr: assert outer(3)==7
try: bad()
except ValueError: pass
mlflow.flush_trace_async_logging()
found=lambda filter,**kw:[t.info.tags["mlflow.traceName"] for t in mlflow.search_traces(locations=[te],filter_string=filter,return_type="list",**kw)]
assert found(None)==["bad","outer"], found(None)
assert found("attributes.status = 'ERROR'")==["bad"]
assert found("tags.team = 'red' AND metadata.`mlflow.trace.session` = 's1'")==["outer"]
assert found("attributes.name = 'outer'",run_id=tr.info.run_id)==["outer"]
whole=mlflow.search_traces(locations=[te],filter_string="name = 'outer'",return_type="list")[0]
t=mlflow.get_trace(whole.info.trace_id)
assert [s.name for s in t.data.spans]==["outer","inner"] and t.data.spans[0].attributes["k"]=="v" and t.info.response_preview=="7", t
mlflow.set_trace_tag(t.info.trace_id,"a","b"); assert mlflow.get_trace(t.info.trace_id).info.tags["a"]=="b"
mlflow.delete_trace_tag(t.info.trace_id,"a"); assert "a" not in mlflow.get_trace(t.info.trace_id).info.tags
# Assessments, searches by them and by spans, links to a run.
f=mlflow.log_feedback(trace_id=t.info.trace_id,name="good",value=True,rationale="so"); mlflow.log_expectation(trace_id=t.info.trace_id,name="answer",value="42")
for filter,n in (("feedback.good = 'true'",1),("expectation.answer = '42'",1),("feedback.nope = 'x'",0),("span.name = 'inner'",1),("span.attributes.k = 'v'",1),("span.type = 'LLM'",0)):
    assert len(found(filter))==n,(filter,found(filter))
with mlflow.start_run(experiment_id=te) as linked: pass
c.link_traces_to_run([t.info.trace_id],linked.info.run_id); assert found(None,run_id=linked.info.run_id)==["outer"]
mlflow.update_assessment(trace_id=t.info.trace_id,assessment_id=f.assessment_id,assessment=mlflow.entities.Feedback(name="good",value=False))
assert mlflow.get_assessment(t.info.trace_id,f.assessment_id).value is False
o=mlflow.override_feedback(trace_id=t.info.trace_id,assessment_id=f.assessment_id,value=0.5)
assert [(a.name,a.valid) for a in mlflow.get_trace(t.info.trace_id).info.assessments if a.name=="good"]==[("good",False),("good",True)]
mlflow.delete_assessment(t.info.trace_id,o.assessment_id); assert mlflow.get_assessment(t.info.trace_id,f.assessment_id).valid
assert c.delete_traces(te,trace_ids=[t.info.trace_id])==1 and found(None)==["bad"]
print("all well")
