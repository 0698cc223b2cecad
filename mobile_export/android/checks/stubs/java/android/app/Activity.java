package android.app;

import android.content.ContextWrapper;
import android.os.Bundle;
import android.view.View;

public class Activity extends ContextWrapper {
    public Activity() {
        super(null);
    }

    protected void onCreate(Bundle savedInstanceState) {}

    protected void onDestroy() {}

    public final Application getApplication() {
        return null;
    }

    public void setContentView(View view) {}
}
